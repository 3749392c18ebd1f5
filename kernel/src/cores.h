/* Threads of a call on cores of their own. A scheduler may wake a thread on the core of the one that woke it, and leave both there for
   milliseconds beside an idle core. Linux only: elsewhere threads stay where they are. */
#ifndef LCL_CORES_H
#define LCL_CORES_H

#if defined(__linux__) && __STDC_HOSTED__
#include <sched.h>
#include <stdatomic.h>

enum { WORD = 8 * sizeof(unsigned long) };

/* The cores that threads of a call are on, a bit each. */
typedef atomic_ulong cores[CPU_SETSIZE / WORD];

/* Marks the core of this thread; returns whether another thread had marked it. */
static int meets_another(cores used) {
    int core = sched_getcpu();
    if (core < 0 || core >= CPU_SETSIZE) return 0;
    return (int)(atomic_fetch_or(&used[core / WORD], 1UL << core % WORD) >> core % WORD & 1);
}

/* Moves this thread to a core that no other thread of the call is on, if it may use one. It may use all of its cores afterwards. */
static void spread(cores used) {
    cpu_set_t own, left;
    if (!meets_another(used) || sched_getaffinity(0, sizeof own, &own)) return;
    left = own;
    for (int core = 0; core < CPU_SETSIZE; core++)
        if (atomic_load(&used[core / WORD]) >> core % WORD & 1) CPU_CLR(core, &left);
    if (!CPU_COUNT(&left) || sched_setaffinity(0, sizeof left, &left)) return;
    sched_setaffinity(0, sizeof own, &own);
    meets_another(used);
}
#else
typedef int cores[1];
static void spread(cores used) { (void)used; }
#endif

#endif
