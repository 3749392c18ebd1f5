/* The three products of a layer, a unit of work at a time, by `product`: it is included once per format and kind of processor. */

typedef struct {
    T panels[PANELS], windows[WINDOWS];
    run packed[DEPTH], runs[];
} NAME(scratch);

/* The outputs of a position, a group and some samples; the window is `count` of the runs. */
TARGET static void NAME(group_output)(const job *j, const int64_t *o, int64_t g, int64_t first, int64_t samples, int64_t count,
                                      NAME(scratch) *held) {
    const lcl_layer *s = j->layer;
    int64_t width = s->outputs / s->groups, at = flat(s, o) * s->outputs + g * width, total;
    const T *bias = j->bias ? (const T *)j->bias + (j->bias_per_position ? at : g * width) : NULL;
    const T *x = (const T *)j->first + first * x_size(s) + g * s->group_channels;
    const T *w = (const T *)j->second + weight_of(s, o) * weight_size(s) + g * width;
    T *y = (T *)j->result + first * y_size(s) + at;
    for (int64_t n = 0; n < (count ? 0 : samples); n++)
        for (int64_t f = 0; f < width; f++) y[n * y_size(s) + f] = bias ? bias[f] : 0;
    for (int64_t r = 0, some; r < count; r += some) {
        some = block(held->runs, r, count, depth_of(width), &total);
        for (int64_t f = 0, columns; f < width; f += columns) {
            columns = least(COLUMNS, width - f);
            NAME(factor) b = NAME(factor_of)(columns, w + f, s->outputs, held->runs + r, some, held->panels, held->packed);
            const T *plus = r ? y + f : bias ? bias + f : NULL;
            NAME(product)(samples, columns, x, x_size(s), 1, b, y + f, y_size(s), plus, r ? y_size(s) : 0, 0);
        }
    }
}

/* Unit: the outputs of a position, a span of groups and some samples. */
TARGET static void NAME(output)(const job *j, int64_t number, void *memory) {
    const lcl_layer *s = j->layer;
    NAME(scratch) *held = memory;
    int64_t o[3], groups[2], first, samples;
    position(s, chunk_of(j, number, groups, &first, &samples), o);
    int64_t count = window(s, o, depth_of(s->outputs / s->groups), held->runs);
    for (int64_t g = groups[0]; g < groups[1]; g++) NAME(group_output)(j, o, g, first, samples, count, held);
}

/* Adds to the sites of a block, samples side by side, what a position and a group leave there. */
TARGET static void NAME(add_input_gradient)(const job *j, const lcl_layer *seen, const int64_t *o, int64_t g, int64_t first, int64_t samples,
                                            T *sites, NAME(scratch) *held) {
    const lcl_layer *s = j->layer;
    int64_t width = s->outputs / s->groups, row = up(samples, L) * L, depth = WINDOWS / 4 / row;
    const T *w = (const T *)j->second + weight_of(s, o) * weight_size(s) + g * width;
    const T *dy = (const T *)j->first + first * y_size(s) + flat(s, o) * s->outputs + g * width;
    int64_t count = window(seen, o, fan_in(s), held->runs);
    for (int64_t f = 0, some; f < width; f += some) {
        some = least(depth, width - f);
        NAME(transposed)(samples, some, dy + f, y_size(s), held->windows, row);
        NAME(factor) b = NAME(factor_of)(row, held->windows, row, &(run){0, 0, some}, 1, held->panels, held->packed);
        for (int64_t r = 0; r < count; r++)
            NAME(product)(held->runs[r].length, row, w + held->runs[r].row * s->outputs + f, s->outputs, 1, b,
                          sites + held->runs[r].site * row, row, sites + held->runs[r].site * row, row, 1);
    }
}

/* Adds the sites of a block, `skipped` of which lie before it along its axis, to the gradient of the input. */
TARGET static void NAME(add_sites)(const job *j, const lcl_layer *seen, int64_t skipped, int64_t g, int64_t first, int64_t samples,
                                   const T *sites) {
    const lcl_layer *s = j->layer;
    const int64_t line = 64 / sizeof(T);
    T part[SAMPLES * 64 / sizeof(T)]; /* a line of each sample, so that memory far apart is met once */
    int64_t before = 1, after = 1, row = up(samples, L) * L;
    for (int axis = 0; axis < j->axis; axis++) before *= s->input[axis];
    for (int axis = j->axis + 1; axis < 3; axis++) after *= s->input[axis];
    int64_t slab = seen->input[j->axis] * after, piece = s->groups == 1 ? slab : 1; /* sites whose numbers lie side by side */
    for (int64_t site = 0; site < before * slab; site += piece) {
        int64_t at = (site / slab * s->input[j->axis] + skipped) * after + site % slab;
        T *to = (T *)j->result + first * x_size(s) + at * s->channels + g * s->group_channels;
        for (int64_t left = piece * s->group_channels, some; left > 0; left -= some, to += some, sites += some * row) {
            some = least(left, line);
            NAME(transposed)(some, samples, sites, row, part, line);
            for (int64_t n = 0; n < samples; n++) {
                T *at = to + n * x_size(s), *from = part + n * line;
                int64_t q = 0;
                __builtin_prefetch(at + 2 * line, 1);
                for (; q + L <= some; q += L) *(V *)(at + q) += *(const V *)(from + q);
                for (; q < some; q++) at[q] += from[q];
            }
        }
    }
}

/* Unit: what a block of positions leaves in the gradient of the input, of a span of groups and some samples. Sums are kept with samples
   side by side, so that neither the weight nor its products are turned. */
TARGET static void NAME(input_gradient)(const job *j, int64_t number, void *memory) {
    NAME(scratch) *held = memory;
    T *sites = (T *)((char *)memory + j->sites_at);
    int64_t box[3][2], groups[2], first, samples, skipped;
    block_of(j, number, box, &first, &samples, groups);
    lcl_layer seen = seen_by(j, box, &skipped);
    for (int64_t g = groups[0]; g < groups[1]; g++) {
        memset(sites, 0, sizeof(T) * (size_t)(x_size(&seen) * up(samples, L) * L));
        int64_t o[3] = {box[0][0], box[1][0], box[2][0]};
        do NAME(add_input_gradient)(j, &seen, o, g, first, samples, sites, held);
        while (next(o, box));
        NAME(add_sites)(j, &seen, skipped, g, first, samples, sites);
    }
}

/* Gathers some runs of the windows of `samples` samples, side by side. */
TARGET static void NAME(gather)(const T *x, int64_t step, int64_t samples, const run *runs, int64_t count, T *to) {
    for (int64_t n = 0; n < samples; n++, x += step)
        for (int64_t r = 0; r < count; to += runs[r++].length) {
            const T *from = x + runs[r].site;
            int64_t q = 0;
            for (; q + L <= runs[r].length; q += L) *(V *)(to + q) = *(const V *)(from + q);
            for (; q < runs[r].length; q++) to[q] = from[q];
        }
}

/* Adds to the gradient of a weight and a group what one position leaves in it; or writes it, where all of it gets something. */
TARGET static void NAME(add_weight_gradient)(const job *j, const int64_t *o, int64_t g, T *dw, int adds, NAME(scratch) *held) {
    const lcl_layer *s = j->layer;
    int64_t width = s->outputs / s->groups, many = least(PANELS / most(128, least(width, COLUMNS)) / 2, j->batch), columns, total;
    int64_t rows = most(64, least(DEPTH, WINDOWS / many)), count = window(s, o, rows, held->runs);
    for (int64_t r = 0, some; r < count; r += some) {
        some = block(held->runs, r, count, rows, &total);
        for (int64_t n = 0, samples; n < j->batch; n += samples) {
            samples = least(many, j->batch - n);
            const T *x = (const T *)j->first + n * x_size(s) + g * s->group_channels;
            const T *dy = (const T *)j->second + n * y_size(s) + flat(s, o) * s->outputs + g * width;
            NAME(gather)(x, x_size(s), samples, held->runs + r, some, held->windows);
            for (int64_t f = 0; f < width; f += columns) {
                columns = least(COLUMNS, width - f);
                NAME(factor) b = NAME(factor_of)(columns, dy + f, y_size(s), &(run){0, 0, samples}, 1, held->panels, held->packed);
                for (int64_t i = r, at = 0, length; i < r + some; at += length) { /* rows of the weight that lie side by side */
                    int64_t row = held->runs[i].row;
                    for (length = 0; i < r + some && held->runs[i].row == row + length; i++) length += held->runs[i].length;
                    T *to = dw + row * s->outputs + f;
                    NAME(product)(length, columns, held->windows + at, 1, total, b, to, s->outputs, adds || n ? to : NULL,
                                  adds || n ? s->outputs : 0, 0);
                }
            }
        }
    }
}

/* Unit: the gradient of one weight, of a span of groups. */
TARGET static void NAME(weight_gradient)(const job *j, int64_t number, void *memory) {
    const lcl_layer *s = j->layer;
    NAME(scratch) *held = memory;
    int64_t groups[2], box[3][2], seen = 0, unit = span_of(j, number, groups);
    users(s, unit, box);
    int64_t o[3] = {box[0][0], box[1][0], box[2][0]};
    int64_t count = window(s, o, DEPTH, held->runs);
    for (int64_t r = 0; r < count; r++) seen += held->runs[r].length;
    for (int64_t g = groups[0], width = s->outputs / s->groups; g < groups[1]; g++) {
        T *dw = (T *)j->result + unit * weight_size(s) + g * width;
        int adds = seen < fan_in(s) || !j->batch;
        for (int64_t q = 0; adds && q < fan_in(s); q++)
            for (int64_t f = 0; f < width; f++) dw[q * s->outputs + f] = 0;
        if (!j->batch) continue;
        do NAME(add_weight_gradient)(j, o, g, dw, adds, held), adds = 1;
        while (next(o, box));
    }
}
