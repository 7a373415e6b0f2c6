// A model's folder with other numbers in it.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/safetensors.h"
#include "tests/lora/whole.h"

namespace lora_tests {

/// Writes the model of `from`, a folder, to `to` in float32, each tensor as `change` leaves its numbers.
inline void write_changed(const lora::ModelFiles& from, const std::filesystem::path& to,
                          const std::function<void(const std::string& name, std::vector<float>& values)>& change) {
  std::filesystem::create_directories(to);
  for (const auto& entry : std::filesystem::directory_iterator(from.path()))
    if (entry.path().extension() == ".json" || entry.path().extension() == ".jinja")
      base::write_file(to / entry.path().filename(), base::read_file(entry.path()));
  std::vector<base::SafetensorsWriter::Entry> entries;
  for (const std::string& name : from.names()) entries.push_back({name, base::DType::kF32, from.shape(name)});
  base::SafetensorsWriter writer(to / "model.safetensors", entries);
  for (const std::string& name : from.names()) {
    std::vector<float> values = whole(from, name);
    change(name, values);
    writer.write_part(name, base::from_float(base::DType::kF32, values));
  }
  writer.commit();
}

}  // namespace lora_tests
