// A clock that can jump: loaded before a program, it adds the seconds that /clock/ahead holds to the time of day.
// Time that passes, which sleeps and timeouts count, stays as it is.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void map_file(void) {
  int file = open("/clock/ahead", O_RDONLY | O_CLOEXEC);
  void *found = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
  if (found == MAP_FAILED) abort();
  close(file);
  ahead = found;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int code = (int)syscall(SYS_clock_gettime, clock, now);
  if (code == 0 && ahead && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += *ahead;
  return code;
}

int gettimeofday(struct timeval *now, void *zone) {
  int code = (int)syscall(SYS_gettimeofday, now, zone);
  if (code == 0 && ahead) now->tv_sec += *ahead;
  return code;
}

time_t time(time_t *now) {
  struct timespec found;
  clock_gettime(CLOCK_REALTIME, &found);
  if (now) *now = found.tv_sec;
  return found.tv_sec;
}
