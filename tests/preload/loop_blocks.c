/* Preloaded into a worker with event loops, ends it (SIGABRT) at the first of these calls by which a loop's thread could wait: for time, for another thread,
 * or for a descriptor that isn't non-blocking. All jobs of the loop would wait meanwhile, and by the clock alone a test on a busy machine can't tell that.
 * What it lets pass: locks, which are held briefly; epoll, where the loop waits for all; files and terminals, which may hold up a writer of the log. */
#include <dlfcn.h>
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

static _Thread_local int is_loop;

#define REAL(name)                                   \
    static __typeof__(name) *real;                   \
    if (real == NULL)                                \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

int pthread_setname_np(pthread_t thread, const char *name)
{
    REAL(pthread_setname_np);
    if (pthread_equal(thread, pthread_self()))
        is_loop = strncmp(name, "chat-loop-", 10) == 0;
    return real(thread, name);
}

static void blocks(const char *call)
{
    if (!is_loop)
        return;
    is_loop = 0; /* what follows is no loop's */
    fprintf(stderr, "level=error event=loop_blocks call=%s\n", call);
    abort();
}

static void may_block(const char *call, int fd, int flags)
{
    struct stat kind;
    if (is_loop && !(flags & MSG_DONTWAIT) && fstat(fd, &kind) == 0 && (S_ISSOCK(kind.st_mode) || S_ISFIFO(kind.st_mode)) && !(fcntl(fd, F_GETFL) & O_NONBLOCK))
        blocks(call);
}

/* ---- for time, for several descriptors ---- */

int poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    REAL(poll);
    if (timeout_ms != 0)
        blocks("poll");
    return real(fds, count, timeout_ms);
}

/* What poll becomes in a library that was built with _FORTIFY_SOURCE, as librdkafka is. */
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size);
int __poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t size)
{
    REAL(__poll_chk);
    if (timeout_ms != 0)
        blocks("poll");
    return real(fds, count, timeout_ms, size);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    REAL(ppoll);
    if (timeout == NULL || timeout->tv_sec != 0 || timeout->tv_nsec != 0)
        blocks("ppoll");
    return real(fds, count, timeout, mask);
}

int select(int count, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
    REAL(select);
    if (timeout == NULL || timeout->tv_sec != 0 || timeout->tv_usec != 0)
        blocks("select");
    return real(count, in, out, except, timeout);
}

unsigned sleep(unsigned seconds)
{
    REAL(sleep);
    blocks("sleep");
    return real(seconds);
}

int usleep(useconds_t us)
{
    REAL(usleep);
    blocks("usleep");
    return real(us);
}

int nanosleep(const struct timespec *time, struct timespec *left)
{
    REAL(nanosleep);
    blocks("nanosleep");
    return real(time, left);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *time, struct timespec *left)
{
    REAL(clock_nanosleep);
    blocks("clock_nanosleep");
    return real(clock, flags, time, left);
}

/* ---- for another thread; names ---- */

int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    REAL(pthread_cond_wait);
    blocks("pthread_cond_wait");
    return real(cond, mutex);
}

int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    REAL(pthread_cond_timedwait);
    blocks("pthread_cond_timedwait");
    return real(cond, mutex, until);
}

int cnd_wait(cnd_t *cond, mtx_t *mutex)
{
    REAL(cnd_wait);
    blocks("cnd_wait");
    return real(cond, mutex);
}

int cnd_timedwait(cnd_t *cond, mtx_t *mutex, const struct timespec *until)
{
    REAL(cnd_timedwait);
    blocks("cnd_timedwait");
    return real(cond, mutex, until);
}

int sem_wait(sem_t *semaphore)
{
    REAL(sem_wait);
    blocks("sem_wait");
    return real(semaphore);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until)
{
    REAL(sem_timedwait);
    blocks("sem_timedwait");
    return real(semaphore, until);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    REAL(pthread_cond_clockwait);
    blocks("pthread_cond_clockwait");
    return real(cond, mutex, clock, until);
}

int pthread_join(pthread_t thread, void **ret)
{
    REAL(pthread_join);
    blocks("pthread_join");
    return real(thread, ret);
}

/* It waits for the threads that it starts. */
rd_kafka_t *rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *why, size_t size)
{
    REAL(rd_kafka_new);
    blocks("rd_kafka_new");
    return real(type, conf, why, size);
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
    REAL(getaddrinfo);
    blocks("getaddrinfo");
    return real(name, service, hints, ret);
}

/* ---- for a descriptor ---- */

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    REAL(connect);
    may_block("connect", fd, 0);
    return real(fd, address, size);
}

ssize_t read(int fd, void *bytes, size_t size)
{
    REAL(read);
    may_block("read", fd, 0);
    return real(fd, bytes, size);
}

ssize_t readv(int fd, const struct iovec *parts, int count)
{
    REAL(readv);
    may_block("readv", fd, 0);
    return real(fd, parts, count);
}

ssize_t recv(int fd, void *bytes, size_t size, int flags)
{
    REAL(recv);
    may_block("recv", fd, flags);
    return real(fd, bytes, size, flags);
}

ssize_t recvfrom(int fd, void *bytes, size_t size, int flags, struct sockaddr *address, socklen_t *address_size)
{
    REAL(recvfrom);
    may_block("recvfrom", fd, flags);
    return real(fd, bytes, size, flags, address, address_size);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(recvmsg);
    may_block("recvmsg", fd, flags);
    return real(fd, message, flags);
}

ssize_t write(int fd, const void *bytes, size_t size)
{
    REAL(write);
    if (fd != STDOUT_FILENO && fd != STDERR_FILENO)
        may_block("write", fd, 0);
    return real(fd, bytes, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    may_block("writev", fd, 0);
    return real(fd, parts, count);
}

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    REAL(send);
    may_block("send", fd, flags);
    return real(fd, bytes, size, flags);
}

ssize_t sendto(int fd, const void *bytes, size_t size, int flags, const struct sockaddr *address, socklen_t address_size)
{
    REAL(sendto);
    may_block("sendto", fd, flags);
    return real(fd, bytes, size, flags, address, address_size);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg);
    may_block("sendmsg", fd, flags);
    return real(fd, message, flags);
}
