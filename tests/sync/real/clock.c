/* The time of day, so many seconds off as a file says at this moment. Loaded before a process. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *ahead;
static int (*asked)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("CLOCK_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    asked = dlsym(RTLD_NEXT, "clock_gettime");
    if (file >= 0) {
        void *found = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
        if (found != MAP_FAILED)
            ahead = found;
        close(file);
    }
}

int clock_gettime(clockid_t which, struct timespec *told)
{
    if (!asked)
        begin();
    int failed = asked(which, told);
    if (!failed && ahead && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE))
        told->tv_sec += *ahead;
    return failed;
}

int gettimeofday(struct timeval *restrict told, void *restrict zone)
{
    (void)zone;
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    if (!failed && told) {
        told->tv_sec = now.tv_sec;
        told->tv_usec = now.tv_nsec / 1000;
    }
    return failed;
}

time_t time(time_t *told)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (told)
        *told = now.tv_sec;
    return now.tv_sec;
}
