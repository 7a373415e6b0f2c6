// Prepared data kept from run to run: a second start with the same data reads no record.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "finetune/data/data.h"
#include "finetune/data/data_key.h"

namespace finetune {

/// Where training data are kept by themselves: $XDG_CACHE_HOME/hornbook, else ~/.cache/hornbook; "" where neither is
/// known.
std::filesystem::path usual_cache_folder();

/// Where, and how much.
struct CacheOptions {
  std::string data_cache = "auto";
  base::ByteSize data_cache_limit{20'000'000'000};
  void visit(base::OptionVisitor& v);
};

/// A folder of files KEY.examples. A key names all that decides the examples: what the files hold, how they are called
/// to be read so, the tokenizer and its template, the options, and this very program.
class DataCache {
 public:
  /// `tell` gets a sentence for whoever watches.
  DataCache(const CacheOptions& options, std::function<void(const std::string&)> tell);

  /// As read_dataset, from the folder where it can be. `tokenizer` names the maker's (see identity_of), `making` its
  /// options. Standard input is never kept. A cache that cannot be written is said and does without.
  Dataset read(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options,
               const std::string& tokenizer, MakerOptions making) const;

 private:
  std::shared_ptr<const PreparedData> find(const std::filesystem::path& file, const DataKey& key) const;
  // `before`: of `files`, from before the key was made.
  void write(const std::filesystem::path& file, const DataKey& key, const std::vector<std::string>& files,
             const FileStates& before, const ExampleMaker& maker, const DataOptions& options) const;
  void bound(const std::filesystem::path& newest) const;
  std::filesystem::path folder_;  // "": nothing is kept
  std::uint64_t limit_;
  std::function<void(const std::string&)> tell_;
};

}  // namespace finetune
