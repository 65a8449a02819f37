// yardstick TRACE REPEATS: run every variant over a file of uint64 IOVAs, alternately; print JSON.
// yardstick TRACE VARIANT LAST: run one variant, with a SIGUSR1 before and behind the last so many (steps.cpp).
//
// The tables map 2^20 pages of 4 KiB from IOVA 0 on, to PAs drawn by a xorshift64 (traces.py draws the same).
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "counting.hpp"
#include "machine.hpp"
#include "plain.hpp"
#include "staged.hpp"

namespace {

using namespace yardstick;

constexpr u64 kSeed = 88172645463325252u;
constexpr u64 kPages = u64{1} << 20;

Tables mapped() {
  Tables tables(1 + 4 + kPages / 512);
  u64 x = kSeed;
  for (u64 page = 0; page < kPages; ++page) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    tables.map(page << kPageBits, (x & 0xFFFFFFF) << kPageBits);
  }
  return tables;
}

bool read(const char* path, std::vector<u64>& into) {
  std::FILE* file = std::fopen(path, "rb");
  if (file == nullptr) return false;
  std::fseek(file, 0, SEEK_END);
  const long bytes = std::ftell(file);
  std::rewind(file);
  into.resize(bytes > 0 ? static_cast<std::size_t>(bytes) / sizeof(u64) : 0);
  const bool done = !into.empty() && std::fread(into.data(), sizeof(u64), into.size(), file) == into.size();
  std::fclose(file);
  return done;
}

struct Result {
  std::vector<double> ns;
  Counts counts;
};

template <typename Run>
void time_one(Result& result, std::size_t n, Run run) {
  Counts counts;
  const auto start = std::chrono::steady_clock::now();
  run(counts);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
  result.ns.push_back(took.count() / static_cast<double>(n));
  result.counts = counts;
}

void print(const char* variant, const Result& result, bool addresses, const char* after) {
  std::printf("  {\"variant\": \"%s\", \"ns_per_access\": [", variant);
  for (std::size_t k = 0; k < result.ns.size(); ++k) std::printf("%s%.4f", k ? ", " : "", result.ns[k]);
  const Counts& c = result.counts;
  const auto show = [](const char* name, u64 value) {
    std::printf(", \"%s\": %llu", name, static_cast<unsigned long long>(value));
  };
  std::printf("]");
  show("accesses", c.accesses);
  show("utlb_hits", c.utlb_hits);
  show("tlb_hits", c.tlb_hits);
  show("walks", c.walks);
  show("walk_cache_hits", c.walk_cache_hits);
  show("walk_reads", c.walk_reads);
  show("faults", c.faults);
  if (addresses) show("checksum", c.checksum);
  std::printf("}%s\n", after);
}

// Run all but the last `last` accesses, then those between two signals.
template <typename Run>
int marked(const std::vector<u64>& iova, std::size_t last, Run run) {
  Counts counts;
  const std::size_t first = iova.size() - last;
  run(iova.data(), first, counts);
  std::raise(SIGUSR1);
  run(iova.data() + first, last, counts);
  std::raise(SIGUSR1);
  return counts.faults != 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int repeats = argc == 3 ? std::atoi(argv[2]) : 0;
  const std::size_t last = argc == 4 ? std::strtoul(argv[3], nullptr, 10) : 0;
  if (repeats < 1 && last < 1) {
    std::fprintf(stderr, "usage: yardstick TRACE REPEATS | yardstick TRACE VARIANT LAST\n");
    return 2;
  }
  std::vector<u64> iova;
  if (!read(argv[1], iova)) {
    std::fprintf(stderr, "yardstick: %s: expected a file of uint64 IOVAs, could not read one\n", argv[1]);
    return 1;
  }
  const Tables tables = mapped();
  const auto caches = std::make_unique<Caches>();
  const auto staged = std::make_unique<Staged>();
  const auto counting = std::make_unique<Counting>();
  if (last > 0) {
    caches->clear();
    counting->clear();
    if (last > iova.size()) return 2;
    if (std::strcmp(argv[2], "plain") == 0) {
      return marked(iova, last, [&](const u64* at, std::size_t n, Counts& c) { run_plain(at, n, tables, *caches, c); });
    }
    if (std::strcmp(argv[2], "staged") == 0) {
      return marked(iova, last, [&](const u64* at, std::size_t n, Counts& c) { staged->run(at, n, tables, *caches, c); });
    }
    if (std::strcmp(argv[2], "counting") == 0) {
      return marked(iova, last, [&](const u64* at, std::size_t n, Counts& c) { counting->run(at, n, tables, c); });
    }
    std::fprintf(stderr, "yardstick: expected plain, staged or counting, found %s\n", argv[2]);
    return 2;
  }
  Result plain_result, staged_result, counting_result;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    caches->clear();
    time_one(plain_result, iova.size(),
             [&](Counts& counts) { run_plain(iova.data(), iova.size(), tables, *caches, counts); });
    caches->clear();
    time_one(staged_result, iova.size(),
             [&](Counts& counts) { staged->run(iova.data(), iova.size(), tables, *caches, counts); });
    counting->clear();
    time_one(counting_result, iova.size(),
             [&](Counts& counts) { counting->run(iova.data(), iova.size(), tables, counts); });
  }
  std::printf("[\n");
  print("plain", plain_result, true, ",");
  print("staged", staged_result, true, ",");
  print("counting", counting_result, false, "");
  std::printf("]\n");
}
