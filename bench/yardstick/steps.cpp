// steps OUT PROGRAM...: run a program, and count what its first thread executes between two SIGUSR1 of its own.
//
// It goes one instruction at a time, so that it needs no counter of the processor's.  OUT gets a line for each
// address: where, in hex, and how often.  Linux on x86-64.
#include <csignal>
#include <cstdio>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unordered_map>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: steps OUT PROGRAM [ARGUMENT...]\n");
    return 2;
  }
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(126);  // a sandbox may forbid it
    execvp(argv[2], argv + 2);
    _exit(127);
  }
  std::unordered_map<unsigned long long, unsigned long> times;
  bool counting = false;
  int status = 0;
  waitpid(child, &status, 0);  // the exec
  long deliver = 0;
  while (!WIFEXITED(status) && !WIFSIGNALED(status)) {
    ptrace(counting ? PTRACE_SINGLESTEP : PTRACE_CONT, child, nullptr, deliver);
    deliver = 0;
    if (waitpid(child, &status, 0) < 0 || !WIFSTOPPED(status)) continue;
    const int signal = WSTOPSIG(status);
    if (signal == SIGUSR1) {
      counting = !counting;
    } else if (signal != SIGTRAP) {
      deliver = signal;
    } else if (counting) {
      user_regs_struct registers;
      ptrace(PTRACE_GETREGS, child, nullptr, &registers);
      ++times[registers.rip];
    }
  }
  std::FILE* out = std::fopen(argv[1], "w");
  if (out == nullptr) return 1;
  for (const auto& [where, count] : times) std::fprintf(out, "%llx %lu\n", where, count);
  std::fclose(out);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
