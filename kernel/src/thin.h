/* The three products where groups are thin (depthwise layers, connection tables): every output reads a channel of its own, and lanes
   are outputs. Included once per format and kind of processor. */

/* Unit: the outputs of a position. */
TARGET static void NAME(thin_output)(const job *j, int64_t number, void *memory) {
    const lcl_layer *s = j->layer;
    run *runs = ((NAME(scratch) *)memory)->runs;
    int64_t o[3], wide = s->outputs;
    position(s, number, o);
    int64_t count = window(s, o, s->group_channels, runs);
    const T *w = (const T *)j->second + weight_of(s, o) * weight_size(s), *bias = j->bias;
    T *y = (T *)j->result + flat(s, o) * wide;
    if (bias && j->bias_per_position) bias += flat(s, o) * wide;
    for (int64_t n = 0; n < j->batch; n++)
        for (int64_t f = 0; f < wide; f++) y[n * y_size(s) + f] = bias ? bias[f] : 0;
    for (int64_t r = 0; r < count; r++)
        for (int64_t c = 0; c < s->group_channels; c++)
            for (int64_t n = 0; n < j->batch; n++) {
                const T *x = (const T *)j->first + n * x_size(s) + runs[r].site, *row = w + (runs[r].row + c) * wide;
                const int32_t *channel = s->table + c * wide;
                T *to = y + n * y_size(s);
                for (int64_t f = 0; f < wide; f++) to[f] += x[channel[f]] * row[f];
            }
}

/* Unit: what a block of positions leaves in the gradient of the input, for some samples. */
TARGET static void NAME(thin_input_gradient)(const job *j, int64_t number, void *memory) {
    const lcl_layer *s = j->layer;
    run *runs = ((NAME(scratch) *)memory)->runs;
    int64_t box[3][2], groups[2], first, samples, wide = s->outputs;
    block_of(j, number, box, &first, &samples, groups);
    int64_t o[3] = {box[0][0], box[1][0], box[2][0]};
    do {
        int64_t count = window(s, o, s->group_channels, runs);
        const T *w = (const T *)j->second + weight_of(s, o) * weight_size(s);
        for (int64_t r = 0; r < count; r++)
            for (int64_t c = 0; c < s->group_channels; c++)
                for (int64_t n = first; n < first + samples; n++) {
                    const T *dy = (const T *)j->first + n * y_size(s) + flat(s, o) * wide, *row = w + (runs[r].row + c) * wide;
                    const int32_t *channel = s->table + c * wide;
                    T *dx = (T *)j->result + n * x_size(s) + runs[r].site;
                    for (int64_t f = 0; f < wide; f++) dx[channel[f]] += dy[f] * row[f];
                }
    } while (next(o, box));
}

/* Unit: the gradient of one weight. */
TARGET static void NAME(thin_weight_gradient)(const job *j, int64_t number, void *memory) {
    const lcl_layer *s = j->layer;
    run *runs = ((NAME(scratch) *)memory)->runs;
    int64_t box[3][2], wide = s->outputs;
    T *dw = (T *)j->result + number * weight_size(s);
    for (int64_t q = 0; q < weight_size(s); q++) dw[q] = 0;
    users(s, number, box);
    int64_t o[3] = {box[0][0], box[1][0], box[2][0]};
    do {
        int64_t count = window(s, o, s->group_channels, runs);
        for (int64_t r = 0; r < count; r++)
            for (int64_t c = 0; c < s->group_channels; c++)
                for (int64_t n = 0; n < j->batch; n++) {
                    const T *x = (const T *)j->first + n * x_size(s) + runs[r].site;
                    const T *dy = (const T *)j->second + n * y_size(s) + flat(s, o) * wide;
                    const int32_t *channel = s->table + c * wide;
                    T *to = dw + (runs[r].row + c) * wide;
                    for (int64_t f = 0; f < wide; f++) to[f] += x[channel[f]] * dy[f];
                }
        if (j->bias_gradient) NAME(bias_gradient)(j, o, (int64_t[]){0, s->groups});
    } while (next(o, box));
}

static const kernels NAME(kernels) = {NAME(output),      NAME(input_gradient),      NAME(weight_gradient),
                                      NAME(thin_output), NAME(thin_input_gradient), NAME(thin_weight_gradient),
                                      NAME(own_sites),   NULL,  sizeof(NAME(scratch)), VECTOR, sizeof(T)};
