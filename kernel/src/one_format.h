/* The kernels of one kind of processor in one format: T, WIDE and NAME are the includer's, and are gone behind it. */
#include "product.h"
#include "passes.h"
#include "thin.h"
#undef T
#undef WIDE
#undef NAME
#undef V
#undef L
#undef INLINE
#undef CASE
