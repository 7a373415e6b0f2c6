// c10d's Gloo group. Tested by tests/finetune/group_test.cc and tests/cli/processes_finetune.py.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "base/error.h"
#include "base/text.h"
#include "finetune/train/group.h"

namespace finetune {
namespace {

using c10d::ProcessGroupGloo;

constexpr std::chrono::minutes kToCome{5};
// A process that ends closes its connections, which the others notice at once; one that validates takes its time.
constexpr std::chrono::hours kToAnswer{24};

class GlooGroup final : public Group {
 public:
  explicit GlooGroup(const GroupPlace& place)
      : rank_(static_cast<int>(place.rank)), size_(static_cast<int>(place.size)) {
    told("a process of the training did not come", [&] {
      c10d::TCPStoreOptions options;
      options.port = static_cast<std::uint16_t>(place.port);
      options.isServer = place.rank == 0 && !place.has_store;
      options.timeout = kToCome;
      const auto store = c10::make_intrusive<c10d::PrefixStore>(
          "finetune/" + place.attempt, c10::make_intrusive<c10d::TCPStore>(place.address, options));
      auto settings = ProcessGroupGloo::Options::create(kToAnswer);
      const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
      settings->devices.push_back(interface ? ProcessGroupGloo::createDeviceForInterface(interface)
                                            : ProcessGroupGloo::createDefaultDevice());
      group_ = c10::make_intrusive<ProcessGroupGloo>(store, rank_, size_, settings);
    });
    all_reduce(at::zeros({1}));  // everybody is there
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(const at::Tensor& tensor) const override {
    at::NoGradGuard no_gradient;
    std::vector<at::Tensor> tensors = {tensor.cpu().contiguous()};
    told("another process of the training has ended or cannot be reached",
         [&] { group_->allreduce(tensors, {})->wait(); });
    if (!tensors[0].is_same(tensor)) tensor.copy_(tensors[0]);
  }

 private:
  template <class F>
  void told(const char* what, F work) const {
    try {
      work();
    } catch (const std::exception& error) {
      throw base::Error({what, fmt::format("rank {} of {}", rank_, size_), base::split(error.what(), '\n')[0], "",
                         "see what the other processes say; --resume goes on from the newest checkpoint"});
    }
  }

  int rank_, size_;
  c10::intrusive_ptr<ProcessGroupGloo> group_;
};

}  // namespace

std::unique_ptr<const Group> make_group(const std::optional<GroupPlace>& place) {
  if (!place || place->size == 1) return std::make_unique<OneProcess>();
  return std::make_unique<GlooGroup>(*place);
}

}  // namespace finetune
