/* The code of AVX-512 for processors that have AVX2 only: the compiler makes two vectors of each. Compiled instead of kernel.c, for the
   random layers of check.c. */
#define _GNU_SOURCE
#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include "../src/job.h"
#define target(features) target("avx2,fma,f16c")
#define __builtin_cpu_supports(feature) 1
#include "../src/kernel.c"
