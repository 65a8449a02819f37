// The staged machine without output addresses: caches hold page numbers only, so it can count and no more.
//
// It still reads every leaf (a walk may fault), and takes the tables of a walk from memory even where the walk
// cache would have them; that is not counted as a read.  A block with a fault is done again in order.
#pragma once

#include "machine.hpp"
#include "runs.hpp"

namespace yardstick {

#if defined(YARDSTICK_WIDE)
struct Orders {
  alignas(16) u32 of[9][kWays] = {};  // 0 to 3: the ways; 4: the new entry
  constexpr Orders() {
    for (int hit = 0; hit < 9; ++hit) {
      const u32 front = hit == 1 ? 0 : hit == 2 ? 1 : hit == 4 ? 2 : 3;
      of[hit][0] = hit == 0 ? 4 : front;
      for (u32 way = 1; way < kWays; ++way) of[hit][way] = way <= front ? way - 1 : way;
    }
  }
};
inline constexpr Orders kOrders{};
#endif

template <int kSets>
struct Tags {
  alignas(64) u32 ways[kSets][kWays];

  void clear() {
    for (u32 set = 0; set < kSets; ++set) {
      for (u32& way : ways[set]) way = set ^ 1;  // a page of another set
    }
  }

  bool has(u32 page) const {
    const u32* set = ways[page & (kSets - 1)];
    return set[0] == page || set[1] == page || set[2] == page || set[3] == page;
  }

  // Make `page` the most recent of its set, there or not; return whether it was there.  No branch.
  bool use(u32 page) {
    u32* set = ways[page & (kSets - 1)];
#if defined(YARDSTICK_WIDE)
    const __m128i all = _mm_load_si128(reinterpret_cast<const __m128i*>(set));
    const __m128i entering = _mm_set1_epi32(static_cast<int>(page));
    const int hit = _mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(all, entering)));
    const __m128i order = _mm_load_si128(reinterpret_cast<const __m128i*>(kOrders.of[hit]));
    _mm_store_si128(reinterpret_cast<__m128i*>(set), _mm_permutex2var_epi32(all, order, entering));
    return hit != 0;
#else
    const u32 e0 = set[0], e1 = set[1], e2 = set[2], e3 = set[3];
    const bool h0 = e0 == page, h01 = h0 | (e1 == page), h012 = h01 | (e2 == page);
    set[0] = page;
    set[1] = h0 ? e1 : e0;
    set[2] = h01 ? e2 : e1;
    set[3] = h012 ? e3 : e2;
    return h012 | (e3 == page);
#endif
  }
};

class Counting {
 public:
  void clear() {
    now_.micro.clear();
    now_.main.clear();
    now_.walk.clear();
  }

  void run(const u64* iova, std::size_t n, const Tables& tables, Counts& total) {
    for (std::size_t first = 0; first < n; first += kBlock) {
      const u32 size = static_cast<u32>(n - first < kBlock ? n - first : kBlock);
      const State before = now_;
      if (!block(iova + first, size, tables.words(), total)) {
        now_ = before;
        in_order(iova + first, size, tables.words(), total);
      }
      total.accesses += size;
    }
  }

 private:
  static constexpr u32 kChunk = 256;

  struct State {
    Tags<16> micro;
    Tags<128> main;
    Tags<16> walk;
  };

  State now_;
  Runs runs_;
  u32 missed_[kBlock];
  u32 walked_[kBlock];
  const u64* line_[kChunk];

  // The level-3 table of a 2 MiB region, or null.
  static const u64* last_table(u32 region, const u64* words) {
    const u64 upper = words[region >> 9];
    if (!Tables::is_table(upper)) return nullptr;
    const u64 lower = words[Tables::number(upper) * 512 + (region & kIndex)];
    return Tables::is_table(lower) ? words + Tables::number(lower) * 512 : nullptr;
  }

  bool block(const u64* iova, u32 n, const u64* words, Counts& total) {
    u64 unused;
    const u32 runs = runs_.split(iova, n, unused);
    if (runs == 0) return false;
    u32 misses = 0, walks = 0;
    for (u32 r = 0; r < runs; ++r) {
      const u32 page = runs_.page[r];
      missed_[misses] = page;
      misses += !now_.micro.use(page);
    }
    for (u32 m = 0; m < misses; ++m) {
      const u32 page = missed_[m];
      walked_[walks] = page;
      walks += !now_.main.use(page);
    }
    u64 full = 0;
    for (u32 from = 0; from < walks; from += kChunk) {
      const u32 size = walks - from < kChunk ? walks - from : kChunk;
      u32 last = ~u32{0};
      const u64* table = nullptr;
      for (u32 w = 0; w < size; ++w) {
        const u32 page = walked_[from + w], region = page >> 9;
        if (region != last) {
          last = region;
          full += !now_.walk.use(region);
          table = last_table(region, words);
          if (table == nullptr) return false;
        }
        line_[w] = table + (page & kIndex);
        __builtin_prefetch(line_[w]);
      }
      bool good = true;
      for (u32 w = 0; w < size; ++w) good &= Tables::is_page(*line_[w]);
      if (!good) return false;
    }
    total.utlb_hits += n - misses;
    total.tlb_hits += misses - walks;
    total.walks += walks;
    total.walk_cache_hits += walks - full;
    total.walk_reads += walks + 2 * full;
    return true;
  }

  void in_order(const u64* iova, u32 n, const u64* words, Counts& total) {
    for (u32 i = 0; i < n; ++i) {
      const u32 page = static_cast<u32>(iova[i] >> kPageBits), region = page >> 9;
      if (iova[i] >> kInputBits) {
        ++total.walks;
        ++total.faults;
      } else if (now_.micro.has(page)) {
        now_.micro.use(page);
        ++total.utlb_hits;
      } else if (now_.main.has(page)) {
        now_.main.use(page);
        now_.micro.use(page);
        ++total.tlb_hits;
      } else {
        ++total.walks;
        const bool cached = now_.walk.has(region);
        if (cached) now_.walk.use(region);
        total.walk_cache_hits += cached;
        const u64* table = last_table(region, words);
        if (!cached) total.walk_reads += Tables::is_table(words[region >> 9]) ? 2 : 1;
        total.walk_reads += table != nullptr;
        if (table == nullptr || !Tables::is_page(table[page & kIndex])) {
          ++total.faults;
          continue;
        }
        now_.walk.use(region);
        now_.main.use(page);
        now_.micro.use(page);
      }
    }
  }
};

}  // namespace yardstick
