/* The kernels of one kind of processor, in float32 and in float64. KIND, TARGET, VECTOR and ROWS are the includer's. */
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

#undef JOIN_
#undef JOIN
#undef KIND
#undef TARGET
#undef VECTOR
#undef ROWS
