// TensorBoard event files, written by hand: TFRecord frames around protobuf messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace finetune {

/// One file of scalars that `tensorboard --logdir RUN` draws. Every write reaches the operating system at once.
class EventWriter {
 public:
  /// Makes `folder` and in it a new file "events.out.tfevents.SECONDS.hornbook.PID". `wall_time` in seconds since 1970.
  EventWriter(const std::filesystem::path& folder, double wall_time);
  /// The same step may be written once per tag.
  void scalars(std::int64_t step, const std::vector<std::pair<std::string, double>>& values, double wall_time);
  /// Tells TensorBoard to forget what earlier files of the run say from `step` on: a resumed run writes it again.
  void restart(std::int64_t step, double wall_time);
  const std::filesystem::path& path() const { return path_; }

 private:
  void record(const std::string& event);
  std::filesystem::path path_;
  std::ofstream file_;
};

/// CRC-32C (Castagnoli), and TFRecord's mask of it.
std::uint32_t crc32c(std::string_view bytes);
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace finetune
