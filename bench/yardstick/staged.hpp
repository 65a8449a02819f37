// The same machine, block by block in stages, so that the table loads of a block overlap.
//
// Which entry is where follows from the pages alone, as long as no access of the block faults: so each
// cache takes the whole block in turn, entries hold the number of their miss until the walks have given
// the answer, and then the answers go back the same way.  A block with a fault is done again in order.
#pragma once

#include "machine.hpp"
#include "plain.hpp"
#include "runs.hpp"

namespace yardstick {

class Staged {
 public:
  void run(const u64* iova, std::size_t n, const Tables& tables, Caches& caches, Counts& total) {
    for (std::size_t first = 0; first < n; first += kBlock) {
      const u32 size = static_cast<u32>(n - first < kBlock ? n - first : kBlock);
      const Caches before = caches;
      Counts counts = total;
      if (block(iova + first, size, tables, caches, counts)) {
        total = counts;
      } else {
        caches = before;
        run_plain(iova + first, size, tables, caches, total);
      }
    }
  }

 private:
  static constexpr u32 kChunk = 256;  // walks whose leaf lines are fetched together: 16 KiB of lines

  Runs runs_;
  u64 answer_[kBlock];       // of the run: page number, or PENDING and a number in missed_
  u32 missed_[kBlock];       // pages that missed the micro-TLB
  u64 filled_[kBlock];       // their answers: page number, or PENDING and a number in walked_
  u32 walked_[kBlock];       // pages that missed the TLB
  u64 leaf_[kBlock];         // their answers: page numbers
  const u64* line_[kChunk];  // where the leaf is read

  bool block(const u64* iova, u32 n, const Tables& tables, Caches& caches, Counts& counts) {
    u64 sum;
    const u32 runs = runs_.split(iova, n, sum);
    if (runs == 0) return false;

    u32 misses = 0;
    for (u32 r = 0; r < runs; ++r) {
      const u32 page = runs_.page[r];
      missed_[misses] = page;
      misses += !caches.micro.use(page, kPending | misses, answer_[r]);
    }
    u32 walks = 0;
    for (u32 m = 0; m < misses; ++m) {
      const u32 page = missed_[m];
      walked_[walks] = page;
      walks += !caches.main.use(page, kPending | walks, filled_[m]);
    }
    u64 full = 0;
    for (u32 from = 0; from < walks; from += kChunk) {
      const u32 to = walks - from < kChunk ? walks : from + kChunk;
      if (!walk(from, to, tables.words(), caches.walk, full)) return false;
    }
    if (misses != 0) settle(misses, walks, caches);

    sum += total(runs);
    counts.accesses += n;
    counts.utlb_hits += n - misses;
    counts.tlb_hits += misses - walks;
    counts.walks += walks;
    counts.walk_cache_hits += walks - full;
    counts.walk_reads += walks + 2 * full;
    counts.checksum += sum;
    return true;
  }

  // Walk for walked_[from, to): tables from the walk cache or the two levels above, then the leaves.
  bool walk(u32 from, u32 to, const u64* words, Cache<16>& cache, u64& full) {
    u64 last = ~u64{0}, table = 0;
    for (u32 w = from; w < to; ++w) {
      const u64 page = walked_[w];
      const u64 region = page >> 9;
      if (region != last) {  // else it is the most recent of its set already
        last = region;
        if (!cache.find(region, table)) {
          ++full;
          const u64 upper = words[region >> 9];
          if (!Tables::is_table(upper)) return false;
          const u64 lower = words[Tables::number(upper) * 512 + (region & kIndex)];
          if (!Tables::is_table(lower)) return false;
          table = Tables::number(lower);
          cache.insert(region, table);
        }
      }
      const u64* leaf = words + table * 512 + (page & kIndex);
      line_[w - from] = leaf;
      __builtin_prefetch(leaf);
    }
    bool good = true;
    for (u32 w = from; w < to; ++w) {
      const u64 leaf = *line_[w - from];
      good &= Tables::is_page(leaf);
      leaf_[w] = Tables::number(leaf);
    }
    return good;
  }

#if defined(YARDSTICK_WIDE)
  static __m512i settled(__m512i words, const u64* answers) {
    const __mmask8 open = _mm512_test_epi64_mask(words, _mm512_set1_epi64(kPending));
    const __m512i at = _mm512_and_si512(words, _mm512_set1_epi64(kBlock - 1));
    const __m512i known = _mm512_mask_i64gather_epi64(words, open, at, answers, 8);
    // Bit by bit: the page number from the entry, the rest from what is known now.
    return _mm512_ternarylogic_epi64(_mm512_set1_epi64(static_cast<long long>(kTag)), words, known, 0xCA);
  }
#endif

  // Put answers in place of the numbers that stand for them.
  static void put(u64* words, u32 n, const u64* answers) {
    u32 k = 0;
#if defined(YARDSTICK_WIDE)
    for (; k + 8 <= n; k += 8) {
      _mm512_storeu_si512(words + k, settled(_mm512_loadu_si512(words + k), answers));
    }
#endif
    for (; k < n; ++k) {
      const u64 word = words[k];
      const u64 known = answers[word & (kBlock - 1)];
      words[k] = word & kPending ? (word & kTag) | (known & kPayload) : word;
    }
  }

  // Return the sum of the runs' output addresses, offsets apart.
  u64 total(u32 runs) const {
    u64 pages = 0;
    u32 r = 0;
#if defined(YARDSTICK_WIDE)
    __m512i all = _mm512_setzero_si512();
    for (; r + 8 <= runs; r += 8) {
      const __m512i pages_or_misses = settled(_mm512_loadu_si512(answer_ + r), filled_);
      const __m256i length = _mm256_sub_epi32(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(runs_.start + r + 1)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(runs_.start + r)));
      const __m512i page = _mm512_and_si512(pages_or_misses, _mm512_set1_epi64(kPageNumber));
      all = _mm512_add_epi64(all, _mm512_mullo_epi64(page, _mm512_cvtepu32_epi64(length)));
    }
    pages = static_cast<u64>(_mm512_reduce_add_epi64(all));
#endif
    for (; r < runs; ++r) {
      const u64 word = answer_[r];
      const u64 known = filled_[word & (kBlock - 1)];
      pages += ((word & kPending ? known : word) & kPageNumber) * (runs_.start[r + 1] - runs_.start[r]);
    }
    return pages << kPageBits;
  }

  // Put the walks' answers in place of the misses' numbers: in the answers, and in the caches.
  void settle(u32 misses, u32 walks, Caches& caches) {
    put(filled_, misses, leaf_);
    put(caches.micro.ways[0], 16 * kWays, filled_);
    if (walks < 64) {
      for (u32 w = 0; w < walks; ++w) put(caches.main.ways[Cache<128>::set_of(walked_[w])], kWays, leaf_);
    } else {
      put(caches.main.ways[0], 128 * kWays, leaf_);
    }
  }
};

}  // namespace yardstick
