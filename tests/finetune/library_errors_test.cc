// The words of errors that LibTorch throws.
#include "finetune/kernels/library_errors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// What the person reads of what `work` throws; "" where it is not LibTorch's.
template <class F>
std::string explained(F work) {
  try {
    work();
  } catch (const std::exception& error) {
    const auto found = finetune::explain(error);
    return found ? found->what() : "";
  }
  return "nothing was thrown";
}

TEST(LibraryErrors, MemoryThatIsNotThereIsSaidSo) {
  const std::string of_torch = explained([] { at::empty({std::int64_t{1} << 60}); });
  EXPECT_THAT(of_torch, AllOf(HasSubstr("not enough memory"), HasSubstr("--max-length"), Not(HasSubstr("frame #"))));
  EXPECT_EQ(explained([] { throw std::bad_alloc(); }), of_torch);
}

TEST(LibraryErrors, OthersAreOneLineWithoutAddresses) {
  EXPECT_THAT(explained([] { at::zeros({2}).matmul(at::zeros({3})); }),
              AllOf(HasSubstr("LibTorch"), HasSubstr("size"), HasSubstr("report"), Not(HasSubstr("frame #"))));
  EXPECT_EQ(explained([] { throw std::runtime_error("of another library"); }), "");
}

}  // namespace
