/* The serial port: printing, and lines that somebody types. */
#include "cpu.h"

enum uart_register {
    UART_DATA = 0,
    UART_INTERRUPT_ENABLE = 1,
    UART_LINE_STATUS = 5,
};

enum line_status {
    DATA_READY = 1 << 0,
    TRANSMITTER_EMPTY = 1 << 5,
};

#define RECEIVE_SIZE 64

/* Characters between the interrupt and the reader. */
static struct {
    char characters[RECEIVE_SIZE];
    unsigned head, tail;
    struct semaphore available;
} received = {.available = {"received", 0}};

static void put_character(char character)
{
    while (!(port_read8(SERIAL + UART_LINE_STATUS) & TRANSMITTER_EMPTY))
        continue;
    port_write8(SERIAL + UART_DATA, character);
}

void console_write(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '\n')
            put_character('\r');
        put_character(text[i]);
    }
}

size_t string_length(const char *text)
{
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

int string_compare(const char *one, const char *other)
{
    while (*one && *one == *other) {
        one++;
        other++;
    }
    return *one - *other;
}

static void print_number(uint64_t value, unsigned base, unsigned width, char padding)
{
    char digits[20];
    unsigned count = 0;
    do {
        digits[count++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (count < width && count < sizeof digits)
        digits[count++] = padding;
    while (count)
        put_character(digits[--count]);
}

/* %s %c %d %u %x, with l, a width and 0. */
static void print_list(const char *format, va_list arguments)
{
    for (const char *at = format; *at; at++) {
        if (*at != '%') {
            console_write(at, 1);
            continue;
        }
        at++;
        char padding = ' ';
        unsigned width = 0;
        bool is_long = false;
        if (*at == '0') {
            padding = '0';
            at++;
        }
        while (*at >= '0' && *at <= '9')
            width = width * 10 + (*at++ - '0');
        if (*at == 'l') {
            is_long = true;
            at++;
        }
        switch (*at) {
        case 's': {
            const char *text = va_arg(arguments, const char *);
            size_t length = string_length(text);
            console_write(text, length);
            for (; length < width; length++)
                put_character(' ');
            break;
        }
        case 'c':
            put_character(va_arg(arguments, int));
            break;
        case 'd': {
            int64_t value = is_long ? va_arg(arguments, int64_t) : va_arg(arguments, int);
            if (value < 0) {
                put_character('-');
                value = -value;
            }
            print_number(value, 10, width, padding);
            break;
        }
        case 'u':
        case 'x': {
            uint64_t value = is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
            print_number(value, *at == 'u' ? 10 : 16, width, padding);
            break;
        }
        default:
            put_character(*at);
        }
    }
}

void print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_list(format, arguments);
    va_end(arguments);
}

void panic(const char *format, ...)
{
    va_list arguments;
    interrupts_disable();
    print("panic: ");
    va_start(arguments, format);
    print_list(format, arguments);
    va_end(arguments);
    print("\n");
    /* The debug exit, where the machine has one. */
    port_write8(0xf4, 1);
    for (;;)
        asm volatile("cli\n\thlt");
}

void console_listen(void)
{
    apic_route(4, VECTOR_SERIAL);
    port_write8(SERIAL + UART_INTERRUPT_ENABLE, 1);
}

void console_interrupt(void)
{
    while (port_read8(SERIAL + UART_LINE_STATUS) & DATA_READY) {
        char character = port_read8(SERIAL + UART_DATA);
        if (received.head - received.tail < RECEIVE_SIZE) {
            received.characters[received.head++ % RECEIVE_SIZE] = character;
            semaphore_signal(&received.available);
        }
    }
}

static char get_character(void)
{
    semaphore_wait(&received.available);
    return received.characters[received.tail++ % RECEIVE_SIZE];
}

size_t console_read_line(char *line, size_t size)
{
    size_t length = 0;
    for (;;) {
        char character = get_character();
        if (character == '\r' || character == '\n')
            break;
        if (character == '\b' || character == 0x7f) {
            if (length > 0) {
                length--;
                console_write("\b \b", 3);
            }
        } else if (character >= ' ' && length + 1 < size) {
            line[length++] = character;
            put_character(character);
        }
    }
    line[length] = 0;
    print("\n");
    return length;
}
