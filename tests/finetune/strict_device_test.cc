// The device of strict_device.h is as strict as it says: else what runs on it shows nothing.
#include "tests/finetune/strict_device.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace {

TEST(StrictDevice, ComputesAndRefusesOperandsInTwoPlaces) {
  const at::Device device = strict_device::install();
  const at::Tensor here = at::arange(6, at::kFloat).view({2, 3}), there = here.to(device);
  const std::int64_t before = strict_device::operations();
  EXPECT_TRUE(at::equal(there.t().mm(there).cpu(), here.t().mm(here)));
  EXPECT_GT(strict_device::operations(), before);
  EXPECT_TRUE(at::equal((there * at::scalar_tensor(2)).cpu(), here * 2)) << "a single number may be the processor's";
  EXPECT_THROW(there + here, c10::Error);
  EXPECT_THROW(there.mm(here.t()), c10::Error);
  EXPECT_THROW(at::cat({there, here}), c10::Error);
}

TEST(StrictDeviceDeathTest, ClosesItsMemory) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  const at::Tensor there = at::ones({4}, strict_device::install());
  EXPECT_EQ(there.sum().item<float>(), 4);
  EXPECT_DEATH(static_cast<volatile float*>(there.data_ptr())[0] = 1, "");
}

}  // namespace
