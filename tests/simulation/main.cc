// simulation: runs the pure core of the program against simulated servers, one seed a run. README.md tells what is simulated.
//
//   simulation [--seeds N] [--first SEED] [--jobs N]   many runs; exit code 1 and the seed of the first that fails
//   simulation --seed SEED [--trace]                   one run, with its trace hash and, on demand, all that happened
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

#include "base/log.h"
#include "simulation/world.h"

namespace outboxx::simulation {
namespace {

struct Arguments {
  std::uint64_t first = 1;
  std::uint64_t seeds = 10'000;
  unsigned jobs = std::thread::hardware_concurrency();
  bool single = false;
  bool trace = false;
};

// What a worker has come to; in memory that both see, for a worker may abort.
struct Progress {
  std::uint64_t seed;
  std::uint64_t runs;
  std::uint64_t turns;
  std::uint64_t sessions;
  std::uint64_t transactions;
  std::uint64_t records;
  std::uint64_t repeats;
  std::uint64_t refusals;
};

int run_one(std::uint64_t seed, bool trace) {
  const Outcome outcome = World(seed, trace).run();
  std::printf(
      "seed %llu: trace %016llx, %llu turns, %llu sessions, %llu transactions, %llu records, %llu repeats, %llu refusals\n",
      static_cast<unsigned long long>(seed), static_cast<unsigned long long>(outcome.trace_hash),
      static_cast<unsigned long long>(outcome.turns), static_cast<unsigned long long>(outcome.sessions),
      static_cast<unsigned long long>(outcome.transactions), static_cast<unsigned long long>(outcome.records),
      static_cast<unsigned long long>(outcome.repeats), static_cast<unsigned long long>(outcome.refusals));
  if (!outcome.violation.empty()) {
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), outcome.violation.c_str());
  }
  return outcome.violation.empty() ? 0 : 1;
}

// Seeds first, first + jobs, ...
int work(const Arguments& arguments, unsigned job, Progress& progress) {
  for (std::uint64_t index = job; index < arguments.seeds; index += arguments.jobs) {
    progress.seed = arguments.first + index;
    const Outcome outcome = World(progress.seed, false).run();
    if (!outcome.violation.empty()) {
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(progress.seed), outcome.violation.c_str());
      return 1;
    }
    ++progress.runs;
    progress.turns += outcome.turns;
    progress.sessions += outcome.sessions;
    progress.transactions += outcome.transactions;
    progress.records += outcome.records;
    progress.repeats += outcome.repeats;
    progress.refusals += outcome.refusals;
  }
  return 0;
}

int run_many(const Arguments& arguments) {
  const auto begin = std::chrono::steady_clock::now();
  auto* const progress = static_cast<Progress*>(
      ::mmap(nullptr, arguments.jobs * sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::vector<pid_t> workers;
  for (unsigned job = 0; job < arguments.jobs; ++job) {
    std::fflush(stdout);
    const pid_t worker = ::fork();
    if (worker == 0) {
      const int code = work(arguments, job, progress[job]);
      std::fflush(stdout);
      std::_Exit(code);
    }
    workers.push_back(worker);
  }
  Progress sum{};
  bool failed = false;
  for (unsigned job = 0; job < arguments.jobs; ++job) {
    int status = 0;
    ::waitpid(workers[job], &status, 0);
    if (status != 0) {  // its own words, or those of a CHECK or a sanitizer, stand above
      failed = true;
      std::printf("failed at seed %llu; again: simulation --seed %llu --trace\n",
                  static_cast<unsigned long long>(progress[job].seed), static_cast<unsigned long long>(progress[job].seed));
    }
    sum.runs += progress[job].runs;
    sum.turns += progress[job].turns;
    sum.sessions += progress[job].sessions;
    sum.transactions += progress[job].transactions;
    sum.records += progress[job].records;
    sum.repeats += progress[job].repeats;
    sum.refusals += progress[job].refusals;
  }
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("%llu runs in %.1f s: %llu turns, %llu sessions, %llu transactions, %llu records, %llu repeats, %llu refusals\n",
              static_cast<unsigned long long>(sum.runs), elapsed, static_cast<unsigned long long>(sum.turns),
              static_cast<unsigned long long>(sum.sessions), static_cast<unsigned long long>(sum.transactions),
              static_cast<unsigned long long>(sum.records), static_cast<unsigned long long>(sum.repeats),
              static_cast<unsigned long long>(sum.refusals));
  return failed ? 1 : 0;
}

int run(int count, char** words) {
  Arguments arguments;
  for (int index = 1; index < count; ++index) {
    const std::string_view word = words[index];
    if (word == "--trace") {
      arguments.trace = true;
      continue;
    }
    const std::uint64_t number = index + 1 < count ? std::strtoull(words[++index], nullptr, 10) : 0;
    if (word == "--seed") {
      arguments.single = true;
      arguments.first = number;
    } else if (word == "--seeds" && number > 0) {
      arguments.seeds = number;
    } else if (word == "--first") {
      arguments.first = number;
    } else if (word == "--jobs" && number > 0) {
      arguments.jobs = static_cast<unsigned>(number);
    } else {
      std::fprintf(stderr, "usage: simulation [--seeds N] [--first SEED] [--jobs N] | --seed SEED [--trace]\n");
      return 64;
    }
  }
  log::configure(log::Level::kError, log::LogFormat::kText);
  return arguments.single ? run_one(arguments.first, arguments.trace) : run_many(arguments);
}

}  // namespace
}  // namespace outboxx::simulation

int main(int count, char** words) {
  return outboxx::simulation::run(count, words);
}
