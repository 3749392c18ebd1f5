/* What check.c and the kernel need of a C library, for an emulated processor without an operating system: `printf` writes at PRINTED, memory is
   taken from HEAP on, there are no threads. The words of the command lie at WORDS; at the end the processor halts. */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

enum { PRINTED = 0x10000000, WORDS = 0x10001000, HEAP = 0x20000000, LINE = 64 };

static char *print = (char *)PRINTED, *free_from = (char *)HEAP;
static int64_t live;

void *aligned_alloc(size_t line, size_t size) {
    if (!live++) free_from = (char *)HEAP;
    char *found = free_from;
    free_from += (size + line - 1) / line * line;
    return found;
}

void *malloc(size_t size) { return aligned_alloc(LINE, (size + LINE - 1) / LINE * LINE); }

void free(void *memory) { live -= memory != NULL; }

void *memset(void *to, int value, size_t size) {
    for (char *at = to; size--; at++) *at = (char)value;
    return to;
}

void *memcpy(void *to, const void *from, size_t size) {
    for (size_t i = 0; i < size; i++) ((char *)to)[i] = ((const char *)from)[i];
    return to;
}

void *calloc(size_t count, size_t size) { return memset(malloc(count * size), 0, count * size); }

long strtol(const char *from, char **end, int base) {
    long value = 0;
    for (; *from; from++) value = base * value + *from - '0';
    return (void)end, value;
}

int pthread_create(pthread_t *made, const pthread_attr_t *how, void *(*start)(void *), void *given) {
    return (void)made, (void)how, (void)start, (void)given, 1;
}

int pthread_join(pthread_t one, void **result) { return (void)one, (void)result, 0; }

pthread_t pthread_self(void) { return 0; }

int sched_yield(void) { return 0; }

static void write_number(int64_t number) {
    if (number < 0) *print++ = '-', number = -number;
    if (number > 9) write_number(number / 10);
    *print++ = (char)('0' + number % 10);
}

/* Numbers are written whole. */
int printf(const char *format, ...) {
    va_list given;
    va_start(given, format);
    for (; *format; format++) {
        if (*format != '%') *print++ = *format;
        else if (*++format == 'd') write_number(va_arg(given, int));
        else if (*format == 'l') write_number(va_arg(given, long)), format++;
        else if (*format == 'g') write_number((int64_t)va_arg(given, double));
        else for (const char *letter = va_arg(given, char *); *letter; letter++) *print++ = *letter;
    }
    va_end(given);
    return *print = 0;
}

int main(int count, char **words);
int __cpu_indicator_init(void);

__attribute__((force_align_arg_pointer)) void _start(void) {
    char *words[] = {NULL, (char *)WORDS, (char *)WORDS + LINE};
    __cpu_indicator_init();
    main(3, words);
    for (;;) __asm__ volatile("hlt");
}
