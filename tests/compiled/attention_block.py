"""One block of attention: projections, scores, Softmax, values and a last product."""

from tests.onnx_text import model


def block(tokens, *, size=64, heads=2, keys=None, fused=False, mask=False, guarded=False):
    """A model with input x, and z for the keys where their number is given.

    `fused` makes queries, keys and values by one product; `mask` adds an input to the scores;
    `guarded` has torch's mask of booleans, with its Where behind the Softmax.
    """
    length, width, source = keys or tokens, heads * size, "z" if keys else "x"
    weights = {"wq": (width, width), "wk": (width, width), "wv": (width, width)}
    lists = {"hq": (1, tokens, heads, size), "hk": (1, length, heads, size),
             "rows": (1, tokens, width), "thirds": (width, width, width)}  # fmt: skip
    made = f"qm = MatMul(x, wq) km = MatMul({source}, wk) vm = MatMul({source}, wv) "
    if fused:
        weights = {"wf": (width, 3 * width), "bf": (3 * width,)}
        made = "f = MatMul(x, wf) fb = Add(f, bf) qm, km, vm = Split<axis = 2>(fb, thirds) "
    weights["wo"] = (width, width)
    constants = (f"{n} = Constant<value_ints = [{_listed(v)}]>() " for n, v in lists.items())
    body = "".join(constants) + made + (
        "eighth = Constant<value_float = 0.125>() zero = Constant<value_float = 0.0>() "
        "least = Constant<value_float = -inf>() "
        "qh = Reshape(qm, hq) kh = Reshape(km, hk) vh = Reshape(vm, hk) "
        "q = Transpose<perm = [0,2,1,3]>(qh) k = Transpose<perm = [0,2,3,1]>(kh) "
        "v = Transpose<perm = [0,2,1,3]>(vh) [scores] s = MatMul(q, k) c = Mul(s, eighth) "
    )  # fmt: skip
    scores = "c"
    if mask:
        body += f"cm = Add({scores}, m) "
        scores = "cm"
    if guarded:
        body += f"b = Where(m, zero, least) cb = Add({scores}, b) "
        scores = "cb"
    body += f"[softmax] p = Softmax<axis = -1>({scores}) "
    if guarded:
        body += "n = IsNaN(p) p2 = Where(n, zero, p) "
    body += (
        f"[mixed] o = MatMul({'p2' if guarded else 'p'}, v) t = Transpose<perm = [0,2,1,3]>(o) "
        "a = Reshape(t, rows) y = MatMul(a, wo)"
    )
    inputs = [f"float[1,{tokens},{width}] x"]
    inputs += [f"float[1,{length},{width}] z"] * bool(keys)
    if mask or guarded:
        inputs.append(f"{'bool' if guarded else 'float'}[1,1,{tokens},{length}] m")
    stored = ", ".join(f"float[{_listed(shape)}] {name}" for name, shape in weights.items())
    return model(f"g ({', '.join(inputs)}) => (float y) <{stored}> {{ {body} }}")


def _listed(sizes):
    return ",".join(map(str, sizes))
