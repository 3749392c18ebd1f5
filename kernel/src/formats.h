/* The kernels of one kind of processor, in every format. KIND, TARGET, VECTOR and ROWS are the includer's. */
#define JOIN_(a, b, c) a##_##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)

#define T float
#define WIDE 0
#define NAME(name) JOIN(name, f32, KIND)
#include "one_format.h"

#define T double
#define WIDE 1
#define NAME(name) JOIN(name, f64, KIND)
#include "one_format.h"

static const kernels *JOIN(kernels, of, KIND)(int format) {
    if (format == LCL_FLOAT16) return &JOIN(kernels, f16, KIND);
    if (format == LCL_BFLOAT16) return &JOIN(kernels, bf16, KIND);
    return format == LCL_FLOAT64 ? &JOIN(kernels, f64, KIND) : &JOIN(kernels, f32, KIND);
}

#undef JOIN_
#undef JOIN
#undef KIND
#undef TARGET
#undef VECTOR
#undef ROWS
