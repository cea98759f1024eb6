/* Fails the N-th call of the C library that changes a file under a folder; loaded with LD_PRELOAD, armed by the process.
 *
 * arm(folder, n, kind): kind is an error's number; 0 only counts, KILL ends the process there, SHORT writes one half.
 * A full disk (ENOSPC) stays full: every later call that needs room fails too.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KILL = -1, SHORT = -2 };
enum { PASS = 0, FAIL = 1, HALF = 2 };

static char folder[PATH_MAX];
static int at, kind, count, full;
static const char *hit;

void arm(const char *where, int n, int what) {
    strncpy(folder, where, sizeof folder - 1);
    at = n, kind = what, count = 0, full = 0, hit = NULL;
}
int calls(void) { return count; }
const char *failed(void) { return hit; }

static int below(const char *path) {
    size_t length = strlen(folder);
    char whole[2 * PATH_MAX];
    if (!length || !path) return 0;
    if (*path != '/') {
        if (!getcwd(whole, PATH_MAX)) return 0;
        strncat(whole, "/", PATH_MAX), strncat(whole, path, PATH_MAX - 1);
        path = whole;
    }
    return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int open_below(int fd) {
    char link[64], path[PATH_MAX];
    if (!*folder) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

static int fault(const char *name, int ours, int needs_room, int divisible) {
    if (!ours) return PASS;
    if (full && needs_room) return errno = ENOSPC, FAIL;
    if (kind == SHORT && !divisible) return PASS;
    if (kind == ENOSPC && !needs_room) return PASS;
    if (++count != at || !kind) return PASS;
    hit = name;
    if (kind == KILL) kill(getpid(), SIGKILL), pause();
    if (kind == SHORT) return HALF;
    full = kind == ENOSPC;
    errno = kind;
    return FAIL;
}

#define NEXT(type, name) static type (*next)(); if (!next) next = (type (*)())dlsym(RTLD_NEXT, name)

#define OPEN(name)                                                                    \
    int name(const char *path, int flags, ...) {                                      \
        NEXT(int, #name);                                                             \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, int); va_end(rest); \
        if (flags & (O_WRONLY | O_RDWR) && fault("open", below(path), 1, 0)) return -1; \
        return next(path, flags, mode);                                               \
    }
#define OPENAT(name)                                                                  \
    int name(int fd, const char *path, int flags, ...) {                              \
        NEXT(int, #name);                                                             \
        va_list rest; va_start(rest, flags); mode_t mode = va_arg(rest, int); va_end(rest); \
        if (flags & (O_WRONLY | O_RDWR) && fault("open", below(path), 1, 0)) return -1; \
        return next(fd, path, flags, mode);                                           \
    }
#define FOPEN(name)                                                                   \
    FILE *name(const char *path, const char *mode) {                                  \
        NEXT(FILE *, #name);                                                          \
        if (strpbrk(mode, "wa+") && fault("open", below(path), 1, 0)) return NULL;    \
        return next(path, mode);                                                      \
    }
OPEN(open) OPEN(open64) OPENAT(openat) OPENAT(openat64) FOPEN(fopen) FOPEN(fopen64)

ssize_t write(int fd, const void *data, size_t size) {
    NEXT(ssize_t, "write");
    int what = fault("write", open_below(fd), 1, size > 1);
    return what == FAIL ? -1 : next(fd, data, what == HALF ? size / 2 : size);
}
ssize_t writev(int fd, const struct iovec *parts, int number) {
    NEXT(ssize_t, "writev");
    int what = fault("write", open_below(fd), 1, number > 1);
    return what == FAIL ? -1 : next(fd, parts, what == HALF ? number / 2 : number);
}
#define PWRITE(name)                                                                  \
    ssize_t name(int fd, const void *data, size_t size, off_t where) {                \
        NEXT(ssize_t, #name);                                                         \
        int what = fault("write", open_below(fd), 1, size > 1);                       \
        return what == FAIL ? -1 : next(fd, data, what == HALF ? size / 2 : size, where); \
    }
PWRITE(pwrite) PWRITE(pwrite64)
size_t fwrite(const void *data, size_t size, size_t number, FILE *file) {
    NEXT(size_t, "fwrite");
    int what = fault("write", *folder && open_below(fileno(file)), 1, number > 1);
    return what == FAIL ? 0 : next(data, size, what == HALF ? number / 2 : number, file);
}

#define SYNC(name) int name(int fd) { NEXT(int, #name); return fault("fsync", open_below(fd), 1, 0) ? -1 : next(fd); }
SYNC(fsync) SYNC(fdatasync)
#define CUT(name) int name(int fd, off_t size) { NEXT(int, #name); return fault("truncate", open_below(fd), 1, 0) ? -1 : next(fd, size); }
CUT(ftruncate) CUT(ftruncate64)

int mkdir(const char *path, mode_t mode) {
    NEXT(int, "mkdir");
    return fault("mkdir", below(path), 1, 0) ? -1 : next(path, mode);
}
int rename(const char *from, const char *to) {
    NEXT(int, "rename");
    return fault("rename", below(to), 0, 0) ? -1 : next(from, to);
}
int unlink(const char *path) {
    NEXT(int, "unlink");
    return fault("unlink", below(path), 0, 0) ? -1 : next(path);
}
int unlinkat(int fd, const char *path, int flags) {
    NEXT(int, "unlinkat");
    return fault("unlink", fd == AT_FDCWD ? below(path) : open_below(fd), 0, 0) ? -1 : next(fd, path, flags);
}
int rmdir(const char *path) {
    NEXT(int, "rmdir");
    return fault("unlink", below(path), 0, 0) ? -1 : next(path);
}
