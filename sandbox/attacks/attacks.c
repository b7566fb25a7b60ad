// Hostile and ordinary programs, one per name, run as `attacks NAME [ARGUMENT...]` in every surrounding.
// Exit code 0 means that the program could do what it came for; 10 that the box refused it.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DONE = 0, REFUSED = 10, ODD = 20 };
static int argc;
static char **argv;
static long number(int at, long otherwise) { return at < argc ? atol(argv[at]) : otherwise; }
static int check(int ok) { return ok ? DONE : REFUSED; }

static void burn(void) { for (volatile unsigned n = 0;; n++) {} }
static void *burner(void *unused) { burn(); return unused; }

// How programs end
static int code(void) { return number(2, 0); }
static int raise_signal(void) { raise(number(2, SIGSEGV)); return ODD; }
static int null_write(void) { *(volatile int *)(uintptr_t)argc = 1; return ODD; }
static int echo(void) { char b[4096]; ssize_t n; while ((n = read(0, b, sizeof b)) > 0) if (write(1, b, n) != n) return ODD; return DONE; }

// Time
static int busy(void) { burn(); return ODD; }
static int busy_children(void) { for (int i = 0; i < 3; i++) if (!fork()) burn(); while (wait(0) > 0) {} return ODD; }
static int busy_threads(void) { pthread_t t; for (int i = 0; i < 3; i++) pthread_create(&t, 0, burner, 0); burn(); return ODD; }
static int burn_then_exit(void) {
  struct rusage u;
  do getrusage(RUSAGE_SELF, &u); while (u.ru_utime.tv_sec * 1000 + u.ru_utime.tv_usec / 1000 + u.ru_stime.tv_sec * 1000 + u.ru_stime.tv_usec / 1000 < number(2, 100));
  return DONE;
}
static int sleeps(void) { while (pause() && 1) {} return ODD; }
static int stubborn(void) { for (int s = 1; s < 65; s++) signal(s, SIG_IGN); sigset_t all; sigfillset(&all); sigprocmask(SIG_BLOCK, &all, 0); burn(); return ODD; }
static int stops_itself(void) { raise(SIGSTOP); return ODD; }

// Memory; the argument is MiB
static int touch(int flags) {
  size_t size = (size_t)number(2, 1024) << 20;
  char *p = mmap(0, size, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return REFUSED;
  for (size_t i = 0; i < size; i += 4096) p[i] = 1;
  return DONE;
}
static int memory(void) { return touch(MAP_PRIVATE); }
static int shared_memory(void) { return touch(MAP_SHARED); }
static int memory_of_children(void) {
  for (int i = 0; i < 4; i++) if (!fork()) { touch(MAP_PRIVATE); pause(); }
  while (wait(0) > 0) {}
  return DONE;
}
// The parent's pages are shared by children that only read: no reason to kill.
static int shared_after_fork(void) {
  size_t size = (size_t)number(2, 64) << 20;
  char *p = malloc(size);
  memset(p, 1, size);
  for (int i = 0; i < 4; i++) if (!fork()) { usleep(100000); _exit(p[size / 2] == 1 ? 0 : 1); }
  int status, bad = 0;
  while (wait(&status) > 0) bad |= status;
  return check(!bad);
}
static int memory_file(void) { int fd = memfd_create("m", 0); char b[4096] = "x"; return check(fd >= 0 && write(fd, b, sizeof b) == sizeof b); }
static int reserve(void) { return check(mmap(0, (size_t)64 << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED); }
static int depth(int left) { volatile char frame[1024]; frame[0] = left; return left ? depth(left - 1) + frame[0] : 0; }
static int recurse(void) { volatile int d = depth(number(2, 1000)); (void)d; return DONE; }

// Output; stream and bytes
static int output(void) {
  char b[1024];
  memset(b, 'x', sizeof b);
  for (long left = number(3, 1 << 30); left > 0;) { ssize_t n = write(number(2, 1), b, left < 1024 ? left : 1024); if (n < 0) return REFUSED; left -= n; }
  return DONE;
}

// Processes
static int fork_bomb(void) { while (1) if (fork() < 0) usleep(1000); return ODD; }
static int fork_count(void) { int made = 0; for (; made < 2000; made++) { pid_t p = fork(); if (p < 0) break; if (!p) { pause(); _exit(0); } } printf("%d\n", made); return DONE; }
static int daemonize(void) {
  if (fork()) return DONE;
  setsid();
  if (fork()) _exit(0);
  for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
  for (;;) usleep(1000);
}
static int kill_all(void) { kill(1, SIGKILL); kill(getppid(), SIGSTOP); kill(-1, SIGKILL); return DONE; }
static int zombies(void) { for (long i = 0; i < number(2, 10); i++) if (!fork()) _exit(0); usleep(20000); return DONE; }

// What a program can see and reach
static int descriptors(void) { for (int fd = 0; fd < 1024; fd++) if (fcntl(fd, F_GETFD) >= 0) printf("%d ", fd); return DONE; }
static int environment(void) { extern char **environ; for (char **e = environ; *e; e++) puts(*e); return DONE; }
static int identity(void) {
  char host[64] = "", line[256], caps[256] = "";
  gethostname(host, sizeof host);
  FILE *f = fopen("/proc/self/status", "r");
  while (f && fgets(line, sizeof line, f)) if (!strncmp(line, "CapEff", 6) || !strncmp(line, "CapBnd", 6)) strcat(caps, strtok(line + 8, "\n")), strcat(caps, " ");
  printf("%s %d %d %s%d\n", host, getuid(), getgid(), caps, prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
  return DONE;
}
static int ignored_signals(void) { struct sigaction a; for (int s = 1; s < 65; s++) if (s != SIGXFSZ && !sigaction(s, 0, &a) && a.sa_handler == SIG_IGN) printf("%d ", s); return DONE; }
static int readable(void) { int fd = open(argv[2], O_RDONLY); char b; return check(fd >= 0 && read(fd, &b, 1) >= 0); }
static int list(void) { DIR *d = opendir(argv[2]); if (!d) return REFUSED; for (struct dirent *e; (e = readdir(d));) if (e->d_name[0] != '.') puts(e->d_name); return DONE; }
static int writable(void) { int fd = open(argv[2], O_WRONLY | O_CREAT, 0600); return check(fd >= 0 && write(fd, "x", 1) == 1); }
static int connect_tcp(void) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(number(2, 1)), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int s = socket(AF_INET, SOCK_STREAM, 0);
  return check(s >= 0 && connect(s, (void *)&a, sizeof a) == 0);
}
static int connect_abstract(void) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "%s", argv[2]), s = socket(AF_UNIX, SOCK_STREAM, 0);
  return check(s >= 0 && connect(s, (void *)&a, sizeof a.sun_family + 1 + n) == 0);
}
static int shm_make(void) { int id = shmget(number(2, 77), 4096, IPC_CREAT | 0666); return check(id >= 0); }
static int shm_find(void) { return check(shmget(number(2, 77), 4096, 0666) >= 0); }
static int spy_on_init(void) {
  char b[4096];
  int e = open("/proc/1/environ", O_RDONLY), m = open("/proc/1/mem", O_RDONLY), f = open("/proc/1/fd/3", O_RDWR), seen = 0;
  for (ssize_t i = 0, n = e >= 0 ? read(e, b, sizeof b) : 0; i < n; i++) seen |= b[i];
  return check(seen || m >= 0 || f >= 0 || ptrace(PTRACE_ATTACH, 1, 0, 0) == 0);
}
static int change_stdin(void) { int fd = open("/proc/self/fd/0", O_RDWR); return check((fd >= 0 && (write(fd, "x", 1) == 1 || !ftruncate(fd, 0))) || write(0, "x", 1) == 1); }
static int privileges(void) {
  return check(setuid(0) == 0 || sethostname("x", 1) == 0 || mount("none", "/box", "tmpfs", 0, 0) == 0 || umount2("/proc", MNT_DETACH) == 0 ||
               mount(0, "/", 0, MS_REMOUNT | MS_BIND, 0) == 0 || chroot("/box") == 0 || mknod("/box/m", S_IFBLK | 0600, 0x0801) == 0);
}
static int raise_limits(void) { struct rlimit r = {RLIM_INFINITY, RLIM_INFINITY}; return check(!setrlimit(RLIMIT_NPROC, &r) || !setrlimit(RLIMIT_CPU, &r) || !setrlimit(RLIMIT_FSIZE, &r)); }

// What a program leaves; a folder and a kind
static int leave(void) {
  if (chdir("/box")) return ODD;
  mkdir("out", 0755);
  const char *kind = argv[2];
  if (!strcmp(kind, "file")) { int fd = open("out/main", O_CREAT | O_WRONLY, 0755); return check(write(fd, "made", 4) == 4); }
  if (!strcmp(kind, "symlink")) return check(!symlink("/etc/passwd", "out/main"));
  if (!strcmp(kind, "fifo")) return check(!mkfifo("out/main", 0644));
  if (!strcmp(kind, "unreadable")) return check(open("out/main", O_CREAT | O_WRONLY, 0000) >= 0);
  if (!strcmp(kind, "sparse")) { int fd = open("out/main", O_CREAT | O_WRONLY, 0644); return check(!ftruncate(fd, (off_t)2 << 20)); }
  if (!strcmp(kind, "folder-link")) return check(!rmdir("out") && !symlink("/etc", "out"));
  return ODD;
}
static int fill_disk(void) {
  int fd = open("/box/fill", O_CREAT | O_WRONLY, 0600);
  static char b[1 << 16];
  long written = 0;
  for (ssize_t n; written < (256l << 20) && (n = write(fd, b, sizeof b)) > 0;) written += n;
  printf("%ld\n", written);
  return fd < 0 ? REFUSED : DONE;
}

int main(int count, char **arguments) {
  static const struct { const char *name; int (*run)(void); } table[] = {
#define A(n) {#n, n}
    A(code), A(raise_signal), A(null_write), A(echo), A(busy), A(busy_children), A(busy_threads), A(burn_then_exit), A(sleeps), A(stubborn), A(stops_itself),
    A(memory), A(shared_memory), A(memory_of_children), A(shared_after_fork), A(memory_file), A(reserve), A(recurse), A(output), A(fork_bomb), A(fork_count), A(daemonize),
    A(kill_all), A(zombies), A(descriptors), A(environment), A(identity), A(ignored_signals), A(readable), A(list), A(writable), A(connect_tcp), A(connect_abstract), A(shm_make),
    A(shm_find), A(spy_on_init), A(change_stdin), A(privileges), A(raise_limits), A(leave), A(fill_disk)};
  argc = count, argv = arguments;
  signal(SIGXFSZ, SIG_IGN);
  for (size_t i = 0; count > 1 && i < sizeof table / sizeof *table; i++)
    if (!strcmp(arguments[1], table[i].name)) { int r = table[i].run(); fflush(stdout); return r; }
  fprintf(stderr, "no such attack\n");
  return ODD;
}
