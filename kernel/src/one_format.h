/* The kernels of one kind of processor that compute in T, float or double; those of the half formats are among them, for they compute in
   float. T, WIDE and NAME are the includer's, and are gone behind it. */
#include "product.h"

/* S is the format that tensors are in, LOAD and ONE read a vector of it or a number, STORE rounds a vector to it. */
#define S T
#define HALF 0
#define PASS NAME
#define LOAD(at) (*(const V *)(at))
#define ONE(number) (number)
#define STORE(at, vector) (*(V *)(at) = (vector))
#include "passes.h"
#include "thin.h"

#if !WIDE
#include "half_vectors.h"

#define S uint16_t
#define HALF 1
#define PASS(name) JOIN(name, bf16, KIND)
#define LOAD NAME(load_bf16)
#define ONE from_bf16
#define STORE NAME(store_bf16)
#include "passes.h"

#define S uint16_t
#define HALF 1
#define PASS(name) JOIN(name, f16, KIND)
#define LOAD NAME(load_f16)
#define ONE NAME(one_f16)
#define STORE NAME(store_f16)
#include "passes.h"
#endif

#undef T
#undef WIDE
#undef NAME
#undef V
#undef L
#undef INLINE
#undef CASE
