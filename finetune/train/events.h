// TensorBoard event files, written by hand: TFRecord frames around protobuf messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace finetune {

/// One file of scalars that `tensorboard --logdir RUN` draws. Every write reaches the operating system at once.
class EventWriter {
 public:
  /// Makes `folder` and in it a new file "events.out.tfevents.SECONDS.hornbook.PID" that takes the place of earlier
  /// ones: of these it has what they say up to step `kept_steps`, so that no step stands twice, and nothing without it.
  /// `wall_time` in seconds since 1970.
  EventWriter(const std::filesystem::path& folder, double wall_time,
              std::optional<std::int64_t> kept_steps = std::nullopt);
  /// The same step may be written once per tag.
  void scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values, double wall_time);
  const std::filesystem::path& path() const { return path_; }

 private:
  void record(const std::string& event);
  void restart(double wall_time);
  std::filesystem::path path_;
  std::ofstream file_;
};

/// CRC-32C (Castagnoli), and TFRecord's mask of it.
std::uint32_t crc32c(std::string_view bytes);
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace finetune
