/* What a user writes as a layer, normalised or refused: SPEC.md, clauses 0, 2 and 10. */
#ifndef LCL_DESCRIBE_H
#define LCL_DESCRIBE_H

/* The answer to the command `describe` about the JSON object at `layer`, without its id; kept until the next call. */
const char *describe(const char *layer);

#endif
