// A block of accesses as runs to one page: within a run, all but the first hit what the first left in front.
#pragma once

#include "machine.hpp"

namespace yardstick {

constexpr u32 kBlock = 2048;  // accesses

struct Runs {
  u32 page[kBlock + 16];   // of each run
  u32 start[kBlock + 16];  // of the run, within the block; one more than there are runs

  // Find the runs of accesses to one page; `sum` is of the offsets.  No run: an IOVA is out of range.
  u32 split(const u64* iova, u32 n, u64& sum) {
    u32 runs = 0;
    u32 i = 0;
    u64 last = ~u64{0}, any = 0, offsets = 0;
#if defined(YARDSTICK_WIDE)
    __m512i before = _mm512_set1_epi64(-1), seen = _mm512_setzero_si512(), within = seen;
    __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (; i + 8 <= n; i += 8) {
      const __m512i va = _mm512_loadu_si512(iova + i);
      const __m512i number = _mm512_srli_epi64(va, kPageBits);
      const __mmask8 starts = _mm512_cmpneq_epi64_mask(number, _mm512_alignr_epi64(number, before, 7));
      before = number;
      seen = _mm512_or_si512(seen, va);
      within = _mm512_add_epi64(within, _mm512_and_si512(va, _mm512_set1_epi64(kInPage)));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(page + runs),
                          _mm256_maskz_compress_epi32(starts, _mm512_cvtepi64_epi32(number)));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(start + runs),
                          _mm256_maskz_compress_epi32(starts, index));
      index = _mm256_add_epi32(index, _mm256_set1_epi32(8));
      runs += static_cast<u32>(__builtin_popcount(starts));
    }
    any = static_cast<u64>(_mm512_reduce_or_epi64(seen));
    offsets = static_cast<u64>(_mm512_reduce_add_epi64(within));
    if (i != 0) last = iova[i - 1] >> kPageBits;
#endif
    for (; i < n; ++i) {
      const u64 number = iova[i] >> kPageBits;
      any |= iova[i];
      offsets += iova[i] & kInPage;
      page[runs] = static_cast<u32>(number);
      start[runs] = i;
      runs += number != last;
      last = number;
    }
    start[runs] = n;
    sum = offsets;
    return any >> kInputBits ? 0 : runs;
  }
};

}  // namespace yardstick
