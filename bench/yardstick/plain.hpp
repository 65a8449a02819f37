// The obvious loop: one access after the other.
#pragma once

#include "machine.hpp"

namespace yardstick {

[[gnu::noinline]] inline void run_plain(const u64* iova, std::size_t n, const Tables& tables, Caches& caches,
                                        Counts& total) {
  const u64* words = tables.words();
  u64 utlb_hits = 0, tlb_hits = 0, walks = 0, walk_cache_hits = 0, reads = 0, faults = 0, sum = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const u64 va = iova[i];
    const u64 page = va >> kPageBits;
    if (va >> kInputBits) {  // beyond the input size: a walk that reads nothing, and a fault
      ++walks;
      ++faults;
      continue;
    }
    u64 found;
    if (caches.micro.find(page, found)) {
      ++utlb_hits;
      sum += found << kPageBits | (va & kInPage);
      continue;
    }
    if (caches.main.find(page, found)) {
      ++tlb_hits;
      caches.micro.insert(page, found);
      sum += found << kPageBits | (va & kInPage);
      continue;
    }
    ++walks;
    const u64 region = page >> 9;
    u64 table;
    const bool cached = caches.walk.find(region, table);
    if (cached) {
      ++walk_cache_hits;
    } else {
      u64 descriptor = words[region >> 9];
      ++reads;
      if (Tables::is_table(descriptor)) {
        descriptor = words[Tables::number(descriptor) * 512 + (region & kIndex)];
        ++reads;
      }
      if (!Tables::is_table(descriptor)) {
        ++faults;
        continue;
      }
      table = Tables::number(descriptor);
    }
    const u64 leaf = words[table * 512 + (page & kIndex)];
    ++reads;
    if (!Tables::is_page(leaf)) {
      ++faults;  // a walk that faults fills nothing
      continue;
    }
    found = Tables::number(leaf);
    if (!cached) caches.walk.insert(region, table);
    caches.main.insert(page, found);
    caches.micro.insert(page, found);
    sum += found << kPageBits | (va & kInPage);
  }
  total.accesses += n;
  total.utlb_hits += utlb_hits;
  total.tlb_hits += tlb_hits;
  total.walks += walks;
  total.walk_cache_hits += walk_cache_hits;
  total.walk_reads += reads;
  total.faults += faults;
  total.checksum += sum;
}

}  // namespace yardstick
