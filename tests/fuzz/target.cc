// One libFuzzer program for each entry function: compiled with -DFUZZ_ENTRY=records and so on.
#include "tests/fuzz/entries.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::FUZZ_ENTRY(data, size);
  return 0;
}
