// c10d's Gloo group, and on GPUs NCCL beside it. Tested by tests/finetune/group_test.cc and
// tests/cli/processes_finetune.py.
#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Flags.h>
#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <thread>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "base/error.h"
#include "base/text.h"
#include "finetune/train/group.h"
#include "finetune/train/nccl.h"

C10_DECLARE_int(caffe2_log_level);

namespace finetune {
namespace {

using c10d::ProcessGroupGloo;

// A process that ends closes its connections, which the others notice at once; one that validates takes its time.
constexpr std::chrono::hours kToAnswer{24};
constexpr std::chrono::seconds kToAsk{2};   // until a process asks whether the others are still there
constexpr std::chrono::minutes kToSum{10};  // c10d's limit

class GlooGroup final : public Group {
 public:
  GlooGroup(const GroupPlace& place, std::function<void(const std::string&)> note)
      : note_(std::move(note)), rank_(static_cast<int>(place.rank)), size_(static_cast<int>(place.size)) {
    const std::string advice = fmt::format(
        "start {} processes within {} of each other, all with this address and port: MASTER_ADDR={} MASTER_PORT={}",
        size_, base::human_seconds(std::chrono::duration<double>(place.to_come).count()), place.address, place.port);
    told("a process of the training did not come", advice, [&] {
      c10d::TCPStoreOptions options;
      options.port = static_cast<std::uint16_t>(place.port);
      options.isServer = place.rank == 0 && !place.has_store;
      options.timeout = place.to_come;
      const auto store = c10::make_intrusive<c10d::PrefixStore>(
          "finetune/" + place.attempt, c10::make_intrusive<c10d::TCPStore>(place.address, options));
      auto settings = ProcessGroupGloo::Options::create(place.to_come);
      const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
      settings->devices.push_back(interface ? ProcessGroupGloo::createDeviceForInterface(interface)
                                            : ProcessGroupGloo::createDefaultDevice());
      group_ = c10::make_intrusive<ProcessGroupGloo>(store, rank_, size_, settings);
      group_->setTimeout(kToAnswer);
    });
    all_reduce(at::zeros({1}));  // everybody is there
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void all_reduce(const at::Tensor& tensor) const override {
    at::NoGradGuard no_gradient;
    if (tensor.is_cuda() && joins_gpus()) {
      told(kGone, kWhatNow, [&] { sum_on_gpus(tensor); });
      return;
    }
    std::vector<at::Tensor> tensors = {tensor.cpu().contiguous()};
    told(kGone, kWhatNow, [&] { wait_for(*group_->allreduce(tensors, {})); });
    if (!tensors[0].is_same(tensor)) tensor.copy_(tensors[0]);
  }

 private:
  static constexpr const char* kGone = "another process of the training has ended or cannot be reached";
  static constexpr const char* kWhatNow =
      "see what the other processes say; --resume goes on from the newest checkpoint";

  // At the first tensor of a GPU: whether NCCL joins those of all processes. What it cannot join goes by way of the
  // CPU.
  bool joins_gpus() const {
    if (is_asked_) return nccl_ != nullptr;
    is_asked_ = true;
    std::string problem;
    const auto all_can = [&](auto work) {
      try {
        work();
      } catch (const base::Error& error) {
        problem = error.what();
      }
      return !any(!problem.empty());
    };
    std::string id;
    const bool has_all{all_can([&] { nccl_ = std::make_unique<Nccl>(); })};
    if (!has_all || !all_can([&] { id = is_first() ? nccl_->new_id() : ""; }) ||
        !all_can([&, ids = gather(id)] { nccl_->join(ids[0], rank_, size_); })) {
      nccl_.reset();
      note_("gradients of the GPUs go by way of the processors: " +
            (problem.empty() ? "another process cannot use NCCL" : problem));
    }
    return nccl_ != nullptr;
  }

  // Gloo can lose what it was about to send when a connection breaks (once in 400 kills), and then waits without end;
  // whatever is sent next fails at once. Nobody receives it, and nobody waits for it. It also finds out, after a
  // quarter of an hour, that a machine has gone.
  void wait_for(c10d::Work& work) const {
    while (!work.isCompleted()) {
      try {
        work.wait(kToAsk);
      } catch (const std::exception&) {
        if (!work.isCompleted()) ask_others();
      }
    }
    work.wait();
  }

  void ask_others() const {
    std::vector<at::Tensor> nothing = {at::zeros({1}, at::kByte)};
    try {
      for (int other = 0; other < size_; ++other)
        if (other != rank_) group_->send(nothing, other, 0);
    } catch (const std::exception&) {
      // Its destructor would wait for the thread that waits without end.
      static_cast<void>(c10::intrusive_ptr<ProcessGroupGloo>(group_).release());
      throw;
    }
  }

  // NCCL waits for ever for a process that has ended; Gloo notices it.
  void sum_on_gpus(const at::Tensor& tensor) const {
    any(false);
    const at::Tensor sum = tensor.contiguous();
    const c10::Stream stream = c10::impl::VirtualGuardImpl(sum.device().type()).getStream(sum.device());
    nccl_->all_reduce(sum, stream.native_handle());
    for (const auto start = std::chrono::steady_clock::now(); !stream.query();
         std::this_thread::sleep_for(std::chrono::microseconds(50))) {
      nccl_->check();
      if (std::chrono::steady_clock::now() - start > kToSum) throw base::Error("NCCL does not come to an end");
    }
    if (!sum.is_same(tensor)) tensor.copy_(sum);
  }

  template <class F>
  void told(const char* what, const std::string& advice, F work) const {
    try {
      work();
    } catch (const std::exception& error) {
      throw base::Error(
          {what, fmt::format("rank {} of {}", rank_, size_), base::split(error.what(), '\n')[0], "", advice});
    }
  }

  std::function<void(const std::string&)> note_;
  int rank_, size_;
  mutable bool is_asked_ = false;
  mutable std::unique_ptr<Nccl> nccl_;  // null: not asked yet, or not to be had
  c10::intrusive_ptr<ProcessGroupGloo> group_;
};

}  // namespace

std::unique_ptr<const Group> make_group(const std::optional<GroupPlace>& place,
                                        const std::function<void(const std::string&)>& note) {
  if (!place || place->size == 1) return std::make_unique<OneProcess>();
  FLAGS_caffe2_log_level = 3;  // only what ends the process: c10d prints addresses of its functions beside each error
  return std::make_unique<GlooGroup>(*place, note);
}

}  // namespace finetune
