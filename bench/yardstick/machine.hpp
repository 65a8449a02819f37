// The yardstick's machine: micro-TLB 16x4, TLB 128x4, walk cache 16x4, true LRU; 39-bit input, 4K granule.
//
// A cache entry is one word: the page number in bits 37..63, and below it a payload: an output page number
// (36 bits), or with PENDING set the number of a miss whose answer is not known yet (staged.hpp).  An empty
// entry has a page number of another set.  The ways of a set stand in order of use, the most recent first.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512DQ__)
#define YARDSTICK_WIDE
#endif

namespace yardstick {

using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr int kInputBits = 39;
constexpr int kPageBits = 12;
constexpr int kWays = 4;
constexpr u64 kInPage = (u64{1} << kPageBits) - 1;
constexpr u64 kIndex = 511;
constexpr u64 kPageNumber = (u64{1} << 36) - 1;
constexpr u64 kPending = u64{1} << 36;
constexpr u64 kPayload = (u64{1} << 37) - 1;
constexpr int kTagShift = 37;
constexpr u64 kTag = ~kPayload;

// What a run counts: the names of the project's own counters.
struct Counts {
  u64 accesses = 0, utlb_hits = 0, tlb_hits = 0, walks = 0, walk_cache_hits = 0, walk_reads = 0, faults = 0;
  u64 checksum = 0;  // sum of the output addresses of the accesses that did not fault, modulo 2^64
};

// Translation tables: level 1 is table 0, and tables follow each other in memory.
class Tables {
 public:
  // VMSAv8-64 stage 1: valid | table or page, and on a leaf AP[1] (unprivileged), AF, nG.
  static constexpr u64 kTable = 3, kAccess = u64{1} << 10, kLeaf = 3 | u64{1} << 6 | kAccess | u64{1} << 11;

  explicit Tables(std::size_t tables_at_most) {
    words_.reserve(tables_at_most * 512);
    words_.resize(512);
  }

  void map(u64 iova, u64 pa) {
    u64 table = 0;
    for (int shift = 30; shift > kPageBits; shift -= 9) {
      const std::size_t at = table * 512 + ((iova >> shift) & kIndex);
      if (!(words_[at] & 1)) {
        const u64 below = words_.size() / 512;
        words_.resize(words_.size() + 512);
        words_[at] = below << kPageBits | kTable;
      }
      table = number(words_[at]);
    }
    words_[table * 512 + ((iova >> kPageBits) & kIndex)] = (pa & ~kInPage) | kLeaf;
  }

  const u64* words() const { return words_.data(); }
  static u64 number(u64 descriptor) { return (descriptor >> kPageBits) & kPageNumber; }
  static bool is_table(u64 descriptor) { return (descriptor & 3) == kTable; }
  static bool is_page(u64 descriptor) { return (descriptor & (3 | kAccess)) == (3 | kAccess); }

 private:
  std::vector<u64> words_;
};

#if defined(__AVX2__)
// For each hit (one bit, or none): where each way comes from, and whether the first is a new entry.
struct alignas(32) Turn {
  u32 from[8];    // in halves
  u64 fresh[4];   // a mask
  u64 either[4];  // 0 to 3: the ways; 4: the new entry
};
struct Turns {
  Turn of[9] = {};
  constexpr Turns() {
    for (int hit = 0; hit < 9; ++hit) {
      const int front = hit == 1 ? 0 : hit == 2 ? 1 : hit == 4 ? 2 : 3;
      for (int way = 0; way < kWays; ++way) {
        const int source = way == 0 ? front : way <= front ? way - 1 : way;
        of[hit].from[2 * way] = static_cast<u32>(2 * source);
        of[hit].from[2 * way + 1] = static_cast<u32>(2 * source + 1);
        of[hit].either[way] = way == 0 && hit == 0 ? 4 : static_cast<u64>(source);
      }
      of[hit].fresh[0] = hit ? 0 : ~u64{0};
    }
  }
};
inline constexpr Turns kTurns{};
#endif

template <int kSets>
struct Cache {
  alignas(64) u64 ways[kSets][kWays];

  void clear() {
    for (u64 set = 0; set < kSets; ++set) {
      for (u64& way : ways[set]) way = key_of(set ^ 1);
    }
  }
  static u64 key_of(u64 number) { return number << kTagShift; }
  static u64 set_of(u64 number) { return number & (kSets - 1); }

  // Make `number` the most recent of its set, as an entry with the payload `fresh` if it is not there (the
  // least recent leaves).  No branch: returns whether it was there and sets `entry` to the entry as it is now.
  bool use(u64 number, u64 fresh, u64& entry) {
    u64* set = ways[set_of(number)];
    const u64 key = key_of(number);
#if defined(__AVX2__)
    __m256i all = _mm256_load_si256(reinterpret_cast<const __m256i*>(set));
    const unsigned hit = match(all, key);
    const Turn& turn = kTurns.of[hit];
    const __m256i entering = _mm256_set1_epi64x(static_cast<long long>(key | fresh));
#if defined(YARDSTICK_WIDE)
    all = _mm256_permutex2var_epi64(
        all, _mm256_load_si256(reinterpret_cast<const __m256i*>(turn.either)), entering);
#else
    all = _mm256_permutevar8x32_epi32(all, _mm256_load_si256(reinterpret_cast<const __m256i*>(turn.from)));
    all = _mm256_blendv_epi8(all, entering, _mm256_load_si256(reinterpret_cast<const __m256i*>(turn.fresh)));
#endif
    _mm256_store_si256(reinterpret_cast<__m256i*>(set), all);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(&entry), _mm256_castsi256_si128(all));
    return hit != 0;
#else
    const u64 e0 = set[0], e1 = set[1], e2 = set[2], e3 = set[3];
    const bool h0 = (e0 & kTag) == key, h1 = (e1 & kTag) == key, h2 = (e2 & kTag) == key;
    const bool h3 = (e3 & kTag) == key, h01 = h0 | h1, h012 = h01 | h2;
    const u64 front = h0 ? e0 : h1 ? e1 : h2 ? e2 : h3 ? e3 : key | fresh;
    set[0] = front;
    set[1] = h0 ? e1 : e0;
    set[2] = h01 ? e2 : e1;
    set[3] = h012 ? e3 : e2;
    entry = front;
    return h012 | h3;
#endif
  }

  // The same with branches, for the obvious loop: on a hit make it the most recent.
  bool find(u64 number, u64& payload) {
    u64* set = ways[set_of(number)];
    const u64 key = key_of(number);
#if defined(__AVX2__)
    const __m256i all = _mm256_load_si256(reinterpret_cast<const __m256i*>(set));
    const unsigned hit = match(all, key);
    if (hit == 0) return false;
    payload = set[__builtin_ctz(hit)] & kPayload;
    if (hit != 1) {
      const auto* from = reinterpret_cast<const __m256i*>(kTurns.of[hit].from);
      _mm256_store_si256(reinterpret_cast<__m256i*>(set),
                         _mm256_permutevar8x32_epi32(all, _mm256_load_si256(from)));
    }
    return true;
#else
    for (int way = 0; way < kWays; ++way) {
      const u64 entry = set[way];
      if ((entry & kTag) != key) continue;
      for (int to = way; to > 0; --to) set[to] = set[to - 1];
      set[0] = entry;
      payload = entry & kPayload;
      return true;
    }
    return false;
#endif
  }

  // Put in what is not there as the most recent.
  void insert(u64 number, u64 payload) {
    u64* set = ways[set_of(number)];
    const u64 entry = key_of(number) | payload;
#if defined(__AVX2__)
    __m256i all = _mm256_load_si256(reinterpret_cast<const __m256i*>(set));
    all = _mm256_permute4x64_epi64(all, 0x93);
    all = _mm256_blend_epi32(
        all, _mm256_castsi128_si256(_mm_cvtsi64_si128(static_cast<long long>(entry))), 3);
    _mm256_store_si256(reinterpret_cast<__m256i*>(set), all);
#else
    for (int to = kWays - 1; to > 0; --to) set[to] = set[to - 1];
    set[0] = entry;
#endif
  }

#if defined(__AVX2__)
 private:
  static unsigned match(__m256i all, u64 key) {
    const __m256i tags = _mm256_and_si256(all, _mm256_set1_epi64x(static_cast<long long>(kTag)));
    const __m256i same = _mm256_cmpeq_epi64(tags, _mm256_set1_epi64x(static_cast<long long>(key)));
    return static_cast<unsigned>(_mm256_movemask_pd(_mm256_castsi256_pd(same)));
  }
#endif
};

struct Caches {
  Cache<16> micro;
  Cache<128> main;
  Cache<16> walk;  // of level-3 tables, by IOVA >> 21

  void clear() {
    micro.clear();
    main.clear();
    walk.clear();
  }
};

}  // namespace yardstick
