"""Attention on one product of queries, keys and values, cut in the ways that exporters write."""

from .table import net

TOKENS, WIDTH, HEADS = 16, 64, 2
SIZE = WIDTH // HEADS
KINDS = ("split", "slice", "gather", "unbind", "heads first", "interleaved", "last axis")
PARTS = ("qkv", "kv", "qk")


def attention(
    kind, parts="qkv", *, bias=True, gemm=False, scaled=False, rotary=False, cached=False
):
    """A model whose product 'fused' makes the parts; the others come from products of their own.

    `scaled` multiplies the queries, `rotary` turns queries and keys as a rotary embedding does, and
    `cached` puts earlier keys and values in front of them.
    """
    body = [*_product(len(parts), bias, gemm), *_cut(kind, parts)]
    own = [c for c in "qkv" if c not in parts]
    body += [f"{c}c = MatMul(x, w{c})" for c in own]
    if kind in ("split", "slice") or own:
        for c in own if kind not in ("split", "slice") else "qkv":
            body += [f"{c}h = Reshape({c}c, heads)", f"{c}0 = Transpose<perm = [0,2,1,3]>({c}h)"]
    turned = "qk" if rotary else "q" if scaled else ""
    for c in turned:
        more = f"{c}n = Neg({c}0) {c}m = Mul({c}0, cos) {c}o = Mul({c}n, cos)"
        body.append(f"{more} {c} = Add({c}m, {c}o)" if rotary else f"{c} = Mul({c}0, half)")
    q, k, v = (c if c in turned else f"{c}0" for c in "qkv")
    if cached:
        body.append(f"kp = Concat<axis = 2>(past, {k}) vp = Concat<axis = 2>(past, {v})")
        k, v = "kp", "vp"
    body += [
        f"t = Transpose<perm = [0,1,3,2]>({k}) s = MatMul({q}, t) m = Softmax<axis = -1>(s)",
        f"o = MatMul(m, {v}) u = Transpose<perm = [0,2,1,3]>(o) r = Reshape(u, rows)",
        "y = MatMul(r, wy)",
    ]
    wide = WIDTH * len(parts)
    shapes = {f"w{c}": f"{WIDTH},{WIDTH}" for c in own} | {"wy": f"{WIDTH},{WIDTH}"}
    if rotary:
        shapes["cos"] = f"{TOKENS},{SIZE}"
    if cached:
        shapes["past"] = f"1,{HEADS},4,{SIZE}"
    if bias or gemm:
        shapes["b"] = str(wide)
    return net(
        " ".join([*_sizes(len(parts)), *body]),
        x=f"{TOKENS},{WIDTH}" if gemm else f"1,{TOKENS},{WIDTH}",
        w=f"{WIDTH},{wide}",
        **shapes,
    )


def _sizes(count):
    ends = " ".join(f"e{i} = Constant<value_ints = [{WIDTH * i}]>()" for i in range(count + 1))
    numbers = " ".join(f"i{i} = Constant<value_int = {i}>()" for i in range(count))
    lists = {
        "heads": [1, TOKENS, HEADS, SIZE],
        "rows": [1, TOKENS, WIDTH],
        "five": [1, TOKENS, count, HEADS, SIZE],
        "mixed": [1, TOKENS, HEADS, count, SIZE],
        "inner": [1, TOKENS, HEADS, count * SIZE],
        "wide": [1, TOKENS, count * WIDTH],
        "thirds": [WIDTH] * count,
        "ones": [1] * count,
        "sizes": [SIZE] * count,
        "zero": [0],
        "two": [2],
    }
    yield from (f"{name} = Constant<value_ints = {v}>()" for name, v in lists.items())
    yield f"half = Constant<value_float = 0.5>() {ends} {numbers}"


def _product(count, bias, gemm):
    if gemm:
        return ["[fused] g = Gemm(x, w, b)", "p = Reshape(g, wide)"]
    return ["[fused] g = MatMul(x, w)", "p = Add(b, g)"] if bias else ["[fused] p = MatMul(x, w)"]


def _cut(kind, parts):
    def each(text):
        return [text.format(c=c, i=i, j=i + 1) for i, c in enumerate(parts)]

    def all_of(letter):
        return ", ".join(c + letter for c in parts)

    turn = "{c}0 = Transpose<perm = [0,2,1,3]>({c}a)"
    if kind == "split":
        return [f"{all_of('c')} = Split<axis = 2>(p, thirds)"]
    if kind == "slice":
        return each("{c}c = Slice(p, e{i}, e{j}, two)")
    if kind == "gather":
        front = ["f = Reshape(p, five)", "n = Transpose<perm = [2,0,3,1,4]>(f)"]
        return front + each("{c}0 = Gather<axis = 0>(n, i{i})")
    if kind == "unbind":
        front = ["f = Reshape(p, five)", "n = Transpose<perm = [2,0,3,1,4]>(f)"]
        cut = [f"{all_of('b')} = Split<axis = 0>(n, ones)"]
        return front + cut + each("{c}0 = Squeeze({c}b, zero)")
    if kind == "heads first":
        cut = ["f = Reshape(p, five)", f"{all_of('b')} = Split<axis = 2>(f, ones)"]
        return cut + each("{c}a = Squeeze({c}b, two)") + each(turn)
    if kind == "interleaved":
        return ["f = Reshape(p, mixed)", *each("{c}a = Gather<axis = 3>(f, i{i})"), *each(turn)]
    front = ["f = Reshape(p, inner)", "n = Transpose<perm = [0,2,1,3]>(f)"]
    return [*front, f"{all_of('0')} = Split<axis = 3>(n, sizes)"]
