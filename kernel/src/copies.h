/* Copies of what lies far apart, or is in another format than what is computed in. */

/* Gathers some runs of the windows of `samples` samples, side by side. */
TARGET static void PASS(gather)(const S *x, int64_t step, int64_t samples, const run *runs, int64_t count, T *to) {
    for (int64_t n = 0; n < samples; n++, x += step)
        for (int64_t r = 0; r < count; r++) {
            const S *from = x + runs[r].site;
            int64_t length = runs[r].length, q = 0;
            for (; q + L <= length; q += L) *(V *)(to + q) = LOAD(from + q);
            for (; q < length; q++) to[q] = ONE(from[q]);
            to += length;
        }
}

/* Fetches what the next positions or groups read, of rows that lie far apart: no processor expects it. */
INLINE void PASS(fetched)(const S *from, int64_t step, int64_t rows, int64_t columns) {
    for (int64_t n = 0; n < rows; n++, from += step)
        for (int64_t j = 0; j < columns; j += LINE / (int64_t)sizeof(S)) __builtin_prefetch(from + AHEAD + j);
}

/* A matrix in T: itself, or a copy whose rows are side by side. */
INLINE const T *PASS(widened)(const S *from, int64_t step, int64_t rows, int64_t columns, T *to) {
    if (!HALF) return (const T *)from;
    if (step == columns) columns *= rows, rows = 1;
    PASS(gather)(from, step, rows, &(run){0, 0, columns}, 1, to);
    return to;
}

/* Rounds numbers to S. */
INLINE void PASS(rounded)(const T *from, int64_t count, S *to) {
    int64_t i = 0;
    for (; i + L <= count; i += L) STORE(to + i, *(const V *)(from + i));
    if (i == count) return;
    T part[VECTOR / sizeof(T)] = {0};
    S last[VECTOR / sizeof(T)];
    for (int64_t q = i; q < count; q++) part[q - i] = from[q];
    STORE(last, *(const V *)part);
    for (int64_t q = i; q < count; q++) to[q] = last[q - i];
}

/* The factor whose rows lie `b_row` numbers apart. Where that is far, so that rows fall on each other in the nearest cache, or its last vector is not
   whole, or they are in another format, it is a copy, made in `panels` and `packed`. */
TARGET static NAME(factor) PASS(factor_of)(int64_t columns, const S *b, int64_t b_row, const run *runs, int64_t count, T *panels, run *packed) {
    if (!HALF && columns % L == 0 && (b_row < FAR || together(2 * numbers(runs, count), b_row * (int64_t)sizeof(T))))
        return (NAME(factor)){(const T *)b, 2 * L, b_row, runs, count};
    int64_t depth = numbers(runs, count), done = 0, whole = columns / L * L;
    if (HALF && columns % L == 0 && columns == b_row && b_row < FAR) { /* rows side by side */
        for (int64_t r = 0; r < count; done += runs[r++].length) {
            packed[r] = (run){runs[r].site, done, runs[r].length};
            PASS(gather)(b + runs[r].row * b_row, 0, 1, &(run){0, 0, runs[r].length * b_row}, 1, panels + done * b_row);
        }
        return (NAME(factor)){panels, 2 * L, b_row, packed, count};
    }
    for (int64_t r = 0; r < count; r++) {
        const S *from = b + runs[r].row * b_row;
        packed[r] = (run){runs[r].site, done, runs[r].length};
        for (int64_t p = 0; p < packed[r].length; p++, done++, from += b_row) {
            T *to = panels + done * 2 * L;
            for (int64_t j = 0; j < whole; j += L) *(V *)(to + j / (2 * L) * depth * 2 * L + j % (2 * L)) = LOAD(from + j);
            if (whole < columns) to += whole / (2 * L) * depth * 2 * L + whole % (2 * L);
            for (int64_t j = 0; j < (whole < columns ? L : 0); j++) to[j] = whole + j < columns ? ONE(from[whole + j]) : 0;
        }
    }
    return (NAME(factor)){panels, depth * 2 * L, 2 * L, packed, count};
}
