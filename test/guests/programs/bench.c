/*
 * The compute suite's own programs, and its stopwatch. One static binary without a C library: what is timed is what
 * is written here, on whatever machine it was compiled.
 *
 *   bench time NAME COMMAND…  run COMMAND with its output discarded; print "BENCH NAME MILLISECONDS"
 *   bench text MEBIBYTES      print that much pseudo-random text, the same each time
 *   bench integer | double | movs | syscall | fork   do one item's work
 */
typedef unsigned char u8;
typedef unsigned long u64;

enum { SYS_WRITE = 1, SYS_OPEN = 2, SYS_DUP2 = 33, SYS_GETPID = 39, SYS_FORK = 57, SYS_EXECVE = 59, SYS_EXIT = 60 };
enum { SYS_WAIT4 = 61, SYS_GETPPID = 110, SYS_CLOCK_GETTIME = 228 };
enum { O_WRONLY = 1, CLOCK_MONOTONIC = 1, STDOUT = 1, STDERR = 2 };

static char **environment;

static long syscall(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static u64 length(const char *text)
{
    u64 n = 0;

    while (text[n])
        n++;
    return n;
}

static int equal(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static void print(const char *text)
{
    syscall(SYS_WRITE, STDOUT, (long)text, length(text), 0);
}

static void print_number(u64 value, int least_digits)
{
    char digits[24];
    char *start = digits + sizeof digits - 1;

    *start = 0;
    do {
        *--start = '0' + value % 10;
        value /= 10;
        least_digits--;
    } while (value || least_digits > 0);
    print(start);
}

static u64 parse_number(const char *text)
{
    u64 value = 0;

    while (*text >= '0' && *text <= '9')
        value = value * 10 + (*text++ - '0');
    return value;
}

static void fail(const char *what)
{
    print("bench: ");
    print(what);
    print("\n");
    syscall(SYS_EXIT, 1, 0, 0, 0);
}

/* George Marsaglia, "Xorshift RNGs". */
static u64 random_state = 88172645463325252ul;

static u64 next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static u64 nanoseconds(void)
{
    struct {
        u64 seconds, nanoseconds;
    } now;

    syscall(SYS_CLOCK_GETTIME, CLOCK_MONOTONIC, (long)&now, 0, 0);
    return now.seconds * 1000000000ul + now.nanoseconds;
}

/* Runs a program of /bin with its output discarded; returns its wait status. */
static int run_quietly(char **command)
{
    char program[128] = "/bin/";
    int status = 0;
    long child;

    for (u64 i = 0; command[0][i] && i < sizeof program - 6; i++)
        program[5 + i] = command[0][i];
    child = syscall(SYS_FORK, 0, 0, 0, 0);
    if (child == 0) {
        syscall(SYS_DUP2, syscall(SYS_OPEN, (long)"/dev/null", O_WRONLY, 0, 0), STDOUT, 0, 0);
        syscall(SYS_EXECVE, (long)program, (long)command, (long)environment, 0);
        syscall(SYS_EXIT, 127, 0, 0, 0);
    }
    syscall(SYS_WAIT4, child, (long)&status, 0, 0);
    return status;
}

static void time_command(const char *name, char **command)
{
    u64 start = nanoseconds();
    int status = run_quietly(command);
    u64 microseconds = (nanoseconds() - start) / 1000;

    if (status != 0)
        fail(name);
    print("BENCH ");
    print(name);
    print(" ");
    print_number(microseconds / 1000, 1);
    print(".");
    print_number(microseconds % 1000, 3);
    print("\n");
}

/* Lines of a dozen lower-case words: compressible, sortable, and longer than the caches. */
static void text(u64 mebibytes)
{
    static char buffer[1 << 16];

    for (u64 block = 0; block < mebibytes * 16; block++) {
        for (u64 i = 0; i < sizeof buffer; i++) {
            u64 r = next_random() >> 32;

            buffer[i] = r % 7 == 0 ? (r % 63 == 0 ? '\n' : ' ') : 'a' + (r >> 8) % 13;
        }
        syscall(SYS_WRITE, STDOUT, (long)buffer, sizeof buffer, 0);
    }
}

static u8 memory[8 << 20];

/* Walks 64 KiB over and over: a load, arithmetic, a rotation and a store a step. */
static void integer(void)
{
    u64 *words = (u64 *)memory;
    u64 sum = 1;

    for (u64 round = 0; round < 40000; round++) {
        for (u64 i = 0; i < 8192; i++) {
            sum = (sum << 7 | sum >> 57) ^ (words[i] + i);
            words[i] = sum;
        }
    }
    if (sum == 0)
        fail("integer");
}

/* n-body-like mixture of double additions, multiplications, divisions and square roots. */
static void double_arithmetic(void)
{
    double x = 1.0, y = 0.5, z = 0.25;

    for (u64 i = 1; i < 8000000; i++) {
        double squared = x * x + y * y + z * z, root;

        __asm__("sqrtsd %1, %0" : "=x"(root) : "x"(squared));
        x = x + (y - z) * 0.001 / root;
        y = y + (z - x) * 0.001;
        z = z + (x - y) * 0.001 + (double)(long)(i & 3) * 1e-9;
    }
    if (x != x)
        fail("double");
}

static void rep_movs(void)
{
    const u64 half = sizeof memory / 2;

    for (u64 round = 0; round < 50; round++) {
        void *to = memory, *from = memory + half;
        u64 quadwords = half / 8;

        __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(quadwords) : : "memory");
    }
}

static void syscalls(void)
{
    for (u64 i = 0; i < 1000000; i++)
        syscall(SYS_GETPPID, 0, 0, 0, 0);
}

static void forks(void)
{
    char *command[] = { "true", 0 };

    for (u64 i = 0; i < 150; i++)
        run_quietly(command);
}

__attribute__((used)) static void start(u64 *stack)
{
    char **arguments = (char **)(stack + 1);
    u64 count = stack[0];
    const char *verb = count > 1 ? arguments[1] : "";

    environment = arguments + count + 1;
    if (equal(verb, "time") && count > 3)
        time_command(arguments[2], arguments + 3);
    else if (equal(verb, "text") && count > 2)
        text(parse_number(arguments[2]));
    else if (equal(verb, "integer"))
        integer();
    else if (equal(verb, "double"))
        double_arithmetic();
    else if (equal(verb, "movs"))
        rep_movs();
    else if (equal(verb, "syscall"))
        syscalls();
    else if (equal(verb, "fork"))
        forks();
    else
        fail("unknown verb");
    syscall(SYS_EXIT, 0, 0, 0, 0);
}

/* The kernel enters with the argument count at the stack pointer (System V ABI, AMD64 supplement, 3.4.1). */
__asm__(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n\thlt\n");
