/* Corrects what libfaketime 0.9.10 disturbs; to be preloaded before it, with FAKETIME_DONT_FAKE_MONOTONIC=1.

   Sleeping: Python sleeps until a moment of the monotonic clock. libfaketime subtracts its offset from that moment
   although it does not fake that clock, and the sleep fails.
   File times: the kernel writes them by the true clock. Here they are read and set by the faked one. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t offset(void) {
    struct timespec real, fake;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &real);
    clock_gettime(CLOCK_REALTIME, &fake);
    long long apart = (fake.tv_sec - real.tv_sec) * 1000000000LL + fake.tv_nsec - real.tv_nsec;
    return (apart + (apart < 0 ? -500000000 : 500000000)) / 1000000000;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
    return syscall(SYS_clock_nanosleep, clock, flags, until, left) == 0 ? 0 : errno;
}

static int shifted(int result, struct stat *found) {
    if (result == 0) {
        time_t shift = offset();
        found->st_atim.tv_sec += shift;
        found->st_mtim.tv_sec += shift;
        found->st_ctim.tv_sec += shift;
    }
    return result;
}

#define NEXT(name, ...) ((int (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name))
#define SHIFTS(name, types, arguments, ...) \
    int name types { return shifted(NEXT(#name, __VA_ARGS__) arguments, (struct stat *)found); }

SHIFTS(stat, (const char *path, struct stat *found), (path, found), const char *, struct stat *)
SHIFTS(stat64, (const char *path, struct stat64 *found), (path, found), const char *, struct stat64 *)
SHIFTS(lstat, (const char *path, struct stat *found), (path, found), const char *, struct stat *)
SHIFTS(lstat64, (const char *path, struct stat64 *found), (path, found), const char *, struct stat64 *)
SHIFTS(fstat, (int file, struct stat *found), (file, found), int, struct stat *)
SHIFTS(fstat64, (int file, struct stat64 *found), (file, found), int, struct stat64 *)
SHIFTS(fstatat, (int folder, const char *path, struct stat *found, int flags), (folder, path, found, flags), int,
      const char *, struct stat *, int)
SHIFTS(fstatat64, (int folder, const char *path, struct stat64 *found, int flags), (folder, path, found, flags), int,
      const char *, struct stat64 *, int)

static const struct timespec *true_times(const struct timespec *given, struct timespec *times) {
    if (given == NULL) return NULL;
    for (int each = 0; each < 2; each++) {
        times[each] = given[each];
        if (given[each].tv_nsec != UTIME_NOW && given[each].tv_nsec != UTIME_OMIT) times[each].tv_sec -= offset();
    }
    return times;
}

int utimensat(int folder, const char *path, const struct timespec given[2], int flags) {
    struct timespec times[2];
    return syscall(SYS_utimensat, folder, path, true_times(given, times), flags);
}

int futimens(int file, const struct timespec given[2]) {
    struct timespec times[2];
    return syscall(SYS_utimensat, file, NULL, true_times(given, times), 0);
}
