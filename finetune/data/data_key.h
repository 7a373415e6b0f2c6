// What prepared data were made of, as one number.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "finetune/data/data_report.h"
#include "finetune/data/example_maker.h"
#include "finetune/data/prepared.h"
#include "lora/model/model_files.h"

namespace finetune {

/// Equal for tokenizers that give the same ids and templates, as far as their files tell: a hash of what lies beside
/// the weights or in the metadata, and what `tokenizer` has made of it. Where the template may ask for the date, the
/// day is in it too.
std::string identity_of(const tokenizer::Tokenizer& tokenizer, const lora::ModelFiles& model);

/// Of what the files hold and all that decides what becomes of it. Throws base::Error for a file that cannot be read.
DataKey data_key(const std::vector<std::string>& files, const DataOptions& options, const std::string& tokenizer,
                 MakerOptions making);

/// Sizes and times of files: another one means that a file was written to.
struct FileState {
  std::uintmax_t size = 0;
  std::filesystem::file_time_type time;
  friend bool operator==(const FileState&, const FileState&) = default;
};
using FileStates = std::vector<FileState>;
FileStates states_of(const std::vector<std::string>& files);

}  // namespace finetune
