// The processes that train one adapter together. Tested by tests/finetune/group_test.cc and
// tests/cli/processes_finetune.py.
#include "finetune/train/group.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <string_view>

#include "base/error.h"

namespace finetune {
namespace {

constexpr std::int64_t kMost{65535};  // processes, and ports

std::int64_t number_of(const Environment& environment, const char* name, std::int64_t low, std::int64_t high,
                       std::optional<std::int64_t> fallback = std::nullopt) {
  const char* text = environment(name);
  const auto refuse = [&](const char* what) {
    throw base::UsageError({what, name, text ? text : "", fmt::format("a whole number, {} to {}", low, high),
                            "start the processes with torchrun --no-python finetune train ..., or unset RANK and "
                            "WORLD_SIZE to train in one"});
  };
  if (!text && fallback) return *fallback;
  if (!text) refuse("not set, and a training of several processes needs it");
  std::int64_t number{0};
  const std::string_view all = text;
  const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), number);
  if (error != std::errc() || end != all.data() + all.size() || number < low || number > high)
    refuse("not what a training of several processes needs");
  return number;
}

}  // namespace

bool Group::any(bool own) const {
  if (size() == 1) return own;
  const at::Tensor count = at::full({1}, own ? 1.0 : 0.0, at::kDouble);
  all_reduce(count);
  return count.item<double>() > 0;
}

std::vector<std::string> Group::gather(const std::string& own) const {
  const at::Tensor sizes = at::zeros({size()}, at::kLong);
  sizes[rank()] = static_cast<std::int64_t>(own.size());
  all_reduce(sizes);
  const at::Tensor bytes = at::zeros({sizes.sum().item<std::int64_t>()}, at::kByte);
  std::vector<std::string> texts;
  const auto each = [&](auto work) {
    std::int64_t begin{0};
    for (int i = 0; i < size(); ++i) {
      const auto length = sizes[i].item<std::int64_t>();
      work(i, bytes.mutable_data_ptr<std::uint8_t>() + begin, static_cast<std::size_t>(length));
      begin += length;
    }
  };
  each([&](int i, std::uint8_t* place, std::size_t length) {
    if (i == rank()) std::memcpy(place, own.data(), length);
  });
  all_reduce(bytes);
  each([&](int, const std::uint8_t* place, std::size_t length) {
    texts.emplace_back(reinterpret_cast<const char*>(place), length);
  });
  return texts;
}

std::optional<GroupPlace> place_of(const Environment& environment) {
  if (!environment("RANK") && !environment("WORLD_SIZE")) return std::nullopt;
  GroupPlace place;
  place.size = number_of(environment, "WORLD_SIZE", 1, kMost);
  place.rank = number_of(environment, "RANK", 0, place.size - 1);
  place.local_size = number_of(environment, "LOCAL_WORLD_SIZE", 1, place.size, 1);
  place.local_rank = number_of(environment, "LOCAL_RANK", 0, place.size - 1, 0);
  if (place.size == 1) return place;
  place.port = number_of(environment, "MASTER_PORT", 1, kMost);
  const char* address = environment("MASTER_ADDR");
  if (!address || !*address)
    throw base::UsageError({"not set, and a training of several processes needs it", "MASTER_ADDR", "",
                            "the name or address of the machine of rank 0", ""});
  place.address = address;
  const char* store = environment("TORCHELASTIC_USE_AGENT_STORE");
  place.has_store = store && std::string_view(store) == "True";
  if (const char* attempt = environment("TORCHELASTIC_RESTART_COUNT")) place.attempt = attempt;
  return place;
}

}  // namespace finetune
