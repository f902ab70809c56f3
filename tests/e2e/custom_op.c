/* A library of one custom op for onnxruntime: com.example::Twice gives out twice its input.

   It needs no header of onnxruntime: the numbers are places in the table OrtApi, which is a stable
   interface that only grows at its end. */
#include <stddef.h>
#include <stdint.h>

typedef void *(*Function)();
typedef struct { const Function *(*get_api)(uint32_t version); } ApiBase;
typedef struct CustomOp {
    uint32_t version;
    void *(*create_kernel)(const struct CustomOp *, const Function *, const void *);
    const char *(*name)(const struct CustomOp *);
    const char *(*provider)(const struct CustomOp *);
    int (*input_type)(const struct CustomOp *, size_t);
    size_t (*inputs)(const struct CustomOp *);
    int (*output_type)(const struct CustomOp *, size_t);
    size_t (*outputs)(const struct CustomOp *);
    void (*compute)(void *, void *);
    void (*destroy)(void *);
    int (*input_kind)(const struct CustomOp *, size_t);
    int (*output_kind)(const struct CustomOp *, size_t);
} CustomOp;

enum {
    CREATE_DOMAIN = 26, ADD_OP = 27, ADD_DOMAIN = 28, DATA = 51, RANK = 61, SIZES = 62, COUNT = 64,
    SHAPE = 65, INPUT = 90, OUTPUT = 91
};
enum { FLOAT = 1, MOST = 8 };

static const Function *api;

static void compute(void *kernel, void *context) {
    const void *x;
    void *shape, *y;
    const float *from;
    float *to;
    size_t rank, count;
    int64_t sizes[MOST];
    api[INPUT](context, (size_t)0, &x);
    api[SHAPE](x, &shape);
    api[RANK](shape, &rank);
    api[SIZES](shape, sizes, rank);
    api[COUNT](shape, &count);
    api[OUTPUT](context, (size_t)0, sizes, rank, &y);
    api[DATA](x, &from);
    api[DATA](y, &to);
    for (size_t i = 0; i < count; i++) to[i] = 2 * from[i];
}

static void *create(const CustomOp *op, const Function *functions, const void *info) { return &api; }
static void destroy(void *kernel) {}
static const char *name(const CustomOp *op) { return "Twice"; }
static const char *provider(const CustomOp *op) { return NULL; }
static int type(const CustomOp *op, size_t place) { return FLOAT; }
static size_t one(const CustomOp *op) { return 1; }
static int required(const CustomOp *op, size_t place) { return 0; }

void *RegisterCustomOps(void *options, const ApiBase *base) {
    static const CustomOp op = {8, create, name, provider, type, one, type, one, compute, destroy,
                                required, required};
    void *domain, *status;
    api = base->get_api(8);
    if ((status = api[CREATE_DOMAIN]("com.example", &domain))) return status;
    if ((status = api[ADD_OP](domain, &op))) return status;
    return api[ADD_DOMAIN](options, domain);
}
