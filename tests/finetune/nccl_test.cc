// NCCL's C interface, against a library that has it and sums over threads, and where it is installed the real one.
#include "finetune/train/nccl.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/error_of.h"
#include "tests/finetune/tiny_llama.h"

namespace {

using finetune::Nccl;
using testing::HasSubstr;

TEST(Nccl, SumsOverAGroup) {
  const std::string id = Nccl(FAKE_NCCL).new_id();
  ASSERT_EQ(id.size(), 128u);
  EXPECT_NE(id, Nccl(FAKE_NCCL).new_id()) << "each group has its own";
  constexpr int kSize{3};
  std::vector<at::Tensor> single(kSize), twice(kSize), whole(kSize);
  std::vector<std::thread> processes;
  for (int rank = 0; rank < kSize; ++rank)
    processes.emplace_back([&, rank] {
      Nccl nccl(FAKE_NCCL);
      nccl.join(id, rank, kSize);
      const auto sum = [&](at::ScalarType type) {
        at::Tensor tensor = (at::arange(5) * (rank + 1)).to(type);
        nccl.all_reduce(tensor, nullptr);
        nccl.check();
        return tensor;
      };
      single[rank] = sum(at::kFloat), twice[rank] = sum(at::kDouble), whole[rank] = sum(at::kLong);
    });
  for (std::thread& process : processes) process.join();
  for (int rank = 0; rank < kSize; ++rank) {
    EXPECT_TRUE(at::equal(single[rank], at::arange(5).to(at::kFloat) * 6));
    EXPECT_TRUE(at::equal(twice[rank], at::arange(5).to(at::kDouble) * 6));
    EXPECT_TRUE(at::equal(whole[rank], at::arange(5) * 6));
  }
}

TEST(Nccl, SaysWhatItCannot) {
  EXPECT_THAT(error_of([] { Nccl("libnccl-of-nobody.so.2"); }), HasSubstr("libnccl-of-nobody.so.2"));
  EXPECT_THAT(error_of([] { Nccl("libc.so.6"); }), HasSubstr("ncclGetUniqueId"));
  Nccl nccl(FAKE_NCCL);
  EXPECT_THAT(error_of([&] { nccl.join("short", 0, 1); }), HasSubstr("id"));
  const std::string id = nccl.new_id();
  EXPECT_THAT(error_of([&] { nccl.join(id, 1, 1); }), HasSubstr("invalid argument"));
  nccl.join(id, 0, 1);
  EXPECT_THAT(error_of([&] { nccl.all_reduce(at::zeros({2}, at::kBFloat16), nullptr); }), HasSubstr("float32"));
}

// On a GPU it sums; without one it gives an id and joins nobody; without its wheel it cannot be opened.
TEST(DeviceNccl, TheRealOneIsAskedInTheSameWay) {
  const at::Device device = tiny_llama::device();
  const at::Tensor tensor = at::arange(5).to(at::kFloat).to(device);
  const std::string library = device.is_cuda() ? "libnccl.so.2" : NCCL;
  const std::string error = error_of([&] {
    Nccl nccl(library);
    const std::string id = nccl.new_id();
    EXPECT_EQ(id.size(), 128u);
    nccl.join(id, 0, 1);
    const c10::Stream stream = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
    nccl.all_reduce(tensor, stream.native_handle());
    stream.synchronize();
    nccl.check();
  });
  EXPECT_THAT(error, HasSubstr(device.is_cuda()      ? "no error"
                               : std::ifstream(NCCL) ? "NCCL failed"
                                                     : "cannot be opened"));
  EXPECT_TRUE(at::equal(tensor.cpu(), at::arange(5).to(at::kFloat))) << "a group of one";
}

}  // namespace
