/* The doors for JAX, by the foreign-function interface of XLA; compiled where JAX is installed, whose header declares it.

   A call carries all that is needed as attributes, no address, so that a compiled program may be stored: `layer`, the numbers of
   lcl_layer in their order and then the threads, and `table`, of one number where there is none. */
#include <stddef.h>
#include <string.h>
#include "layer.h"
#include "xla/ffi/api/c_api.h"

enum { NUMBERS = offsetof(lcl_layer, table) / sizeof(int64_t) };

static const XLA_FFI_Array *attribute(const XLA_FFI_CallFrame *frame, const char *name) {
    for (int64_t i = 0; i < frame->attrs.size; i++) {
        const XLA_FFI_ByteSpan *found = frame->attrs.names[i];
        int same = found->len == strlen(name) && !memcmp(found->ptr, name, found->len);
        if (same && frame->attrs.types[i] == XLA_FFI_AttrType_ARRAY) return frame->attrs.attrs[i];
    }
    return NULL;
}

static XLA_FFI_Error *error(const XLA_FFI_CallFrame *frame, XLA_FFI_Error_Code code, const char *message) {
    XLA_FFI_Error_Create_Args made = {.struct_size = XLA_FFI_Error_Create_Args_STRUCT_SIZE, .message = message, .errc = code};
    return frame->api->XLA_FFI_Error_Create(&made);
}

/* Answers the question of XLA which version of its interface this was compiled for; returns whether it was asked. */
static int version(const XLA_FFI_CallFrame *frame) {
    XLA_FFI_Extension_Base *asked = frame->extension_start;
    if (!asked || asked->type != XLA_FFI_Extension_Metadata) return 0;
    XLA_FFI_Metadata *told = ((XLA_FFI_Metadata_Extension *)asked)->metadata;
    told->api_version.major_version = XLA_FFI_API_MAJOR, told->api_version.minor_version = XLA_FFI_API_MINOR;
    return 1;
}

typedef int product(const lcl_layer *, int bits, int64_t batch, const void *first, const void *second, void *result, lcl_threads threads);

static XLA_FFI_Error *answered(const XLA_FFI_CallFrame *frame, product *compute) {
    if (version(frame) || frame->stage != XLA_FFI_ExecutionStage_EXECUTE) return NULL;
    const XLA_FFI_Array *numbers = attribute(frame, "layer"), *table = attribute(frame, "table");
    if (!numbers || numbers->size != NUMBERS + 1 || !table || frame->args.size != 2 || frame->rets.size != 1)
        return error(frame, XLA_FFI_Error_Code_INVALID_ARGUMENT, "lcl-ref-kernel: another version of lcl-ref made this call");
    const XLA_FFI_Buffer *first = frame->args.args[0], *second = frame->args.args[1], *result = frame->rets.rets[0];
    lcl_layer layer;
    memcpy(&layer, numbers->data, NUMBERS * sizeof(int64_t));
    layer.table = table->size > 1 ? table->data : NULL;
    int bits = first->dtype == XLA_FFI_DataType_F64 ? 64 : 32;
    lcl_threads threads = {((const int64_t *)numbers->data)[NUMBERS], NULL};
    if (compute(&layer, bits, first->dims[0], first->data, second->data, result->data, threads))
        return error(frame, XLA_FFI_Error_Code_RESOURCE_EXHAUSTED, "lcl-ref-kernel: no memory for its threads");
    return NULL;
}

static int output(const lcl_layer *s, int bits, int64_t batch, const void *x, const void *weight, void *y, lcl_threads threads) {
    return lcl_output(s, bits, batch, x, weight, NULL, 0, y, threads);
}

XLA_FFI_Error *lcl_jax_output(XLA_FFI_CallFrame *frame) { return answered(frame, output); }
XLA_FFI_Error *lcl_jax_input_gradient(XLA_FFI_CallFrame *frame) { return answered(frame, lcl_input_gradient); }
XLA_FFI_Error *lcl_jax_weight_gradient(XLA_FFI_CallFrame *frame) { return answered(frame, lcl_weight_gradient); }
