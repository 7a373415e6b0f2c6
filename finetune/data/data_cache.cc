// Prepared data kept from run to run. Tested by tests/finetune/data_cache_test.cc.
#include "finetune/data/data_cache.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/file.h"
#include "base/json_values.h"
#include "base/machine.h"
#include "base/text.h"

namespace finetune {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSuffix = ".examples";

// The cache cannot be written: no fault of the data.
struct NotWritten {
  std::string why;
};

template <class F>
auto writing(F&& f) {
  try {
    return f();
  } catch (const base::Error& error) {
    throw NotWritten{error.what()};
  }
}

// Left by runs that were killed; those of others that are still at it are young.
bool is_abandoned(const fs::directory_entry& entry) {
  const fs::path name = entry.path().filename();
  return name.extension() == ".part" &&
         fs::file_time_type::clock::now() - entry.last_write_time() > std::chrono::hours(24);
}

struct Kept {
  fs::file_time_type used;
  std::uint64_t bytes = 0;
  fs::path file;
};

// Oldest first.
std::vector<Kept> kept_in(const fs::path& folder) {
  std::vector<Kept> kept;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_abandoned(entry))
      fs::remove(entry.path());
    else if (entry.path().extension() == kSuffix)
      kept.push_back({entry.last_write_time(), entry.file_size(), entry.path()});
  }
  std::ranges::sort(kept, {}, [](const Kept& one) { return std::pair(one.used, one.file); });
  return kept;
}

}  // namespace

fs::path usual_cache_folder() {
  const fs::path cache = base::cache_home();
  return cache.empty() ? cache : cache / "hornbook";
}

void CacheOptions::visit(base::OptionVisitor& v) {
  v("data_cache", data_cache,
    "folder in which prepared data are kept for later starts; auto: hornbook in the user's cache folder; none: "
    "nowhere",
    base::PathKind::kCacheFolder);
  v("data_cache_limit", data_cache_limit, "when it holds more, what was not used for longest goes");
}

DataCache::DataCache(const CacheOptions& options, std::function<void(const std::string&)> tell)
    : folder_(options.data_cache == "none"   ? fs::path()
              : options.data_cache == "auto" ? usual_cache_folder()
                                             : fs::path(options.data_cache)),
      limit_(options.data_cache_limit.bytes),
      tell_(std::move(tell)) {}

Dataset DataCache::read(const std::vector<std::string>& files, const ExampleMaker& maker, const DataOptions& options,
                        const std::string& tokenizer, MakerOptions making) const {
  const bool is_kept = !folder_.empty() && std::ranges::all_of(files, [](const std::string& file) {
    return file != "-" && fs::is_regular_file(file);
  });
  if (!is_kept) return read_dataset(files, maker, options);
  const FileStates before = states_of(files);  // so that what changes from here on is not kept under this key
  const DataKey key = data_key(files, options, tokenizer, std::move(making));
  const fs::path file = folder_ / (key.text() + kSuffix);
  std::shared_ptr<const PreparedData> data = find(file, key);
  try {
    if (!data) {
      write(file, key, files, before, maker, options);
      data = writing([&] { return PreparedData::map(file, key); });
      writing([&] { bound(file); });
    }
  } catch (const NotWritten& problem) {
    tell_("the data cache cannot be used, the examples stay in memory: " + problem.why);
    return read_dataset(files, maker, options);
  } catch (const fs::filesystem_error& error) {
    tell_(fmt::format("the data cache cannot be used, the examples stay in memory: {}", error.what()));
    return read_dataset(files, maker, options);
  }
  return checked_dataset(std::move(data), files, options);
}

std::shared_ptr<const PreparedData> DataCache::find(const fs::path& file, const DataKey& key) const {
  std::error_code error;
  if (!fs::exists(file, error)) return nullptr;
  try {
    auto data = PreparedData::map(file, key);
    fs::last_write_time(file, fs::file_time_type::clock::now(), error);  // used
    tell_(fmt::format("prepared before, read from {} ({})", file.string(),
                      base::human_bytes(static_cast<double>(fs::file_size(file, error)))));
    return data;
  } catch (const base::Error& problem) {
    tell_(fmt::format("the data cache is prepared anew: {}: {}", file.string(), problem.facts().what));
    return nullptr;
  }
}

void DataCache::write(const fs::path& file, const DataKey& key, const std::vector<std::string>& files,
                      const FileStates& before, const ExampleMaker& maker, const DataOptions& options) const {
  // Named by the process: another run may prepare the same.
  const fs::path own = folder_ / fmt::format("{}.{}.part", key.text(), ::getpid());
  const auto output = writing([&] { return std::make_unique<base::FileWriter>(own); });
  PreparedWriter writer([&](const void* data, std::size_t size) { writing([&] { output->write(data, size); }); });
  const DataReport report = write_examples(files, maker, options, writer);
  if (states_of(files) != before) throw NotWritten{"a file of the data changed while it was read"};
  writer.finish(base::json_dump(report.to_json()), key);
  writing([&] { output->commit(); });
  std::error_code error, ignored;
  fs::rename(own, file, error);
  if (!error) return;
  fs::remove(own, ignored);
  throw NotWritten{fmt::format("{}: {}", file.string(), error.message())};
}

void DataCache::bound(const fs::path& newest) const {
  std::uint64_t bytes = 0, gone = 0;
  const std::vector<Kept> kept = kept_in(folder_);
  for (const Kept& one : kept) bytes += one.bytes;
  for (const Kept& one : kept) {
    if (bytes <= limit_) break;
    if (one.file == newest) continue;
    fs::remove(one.file);
    bytes -= one.bytes;
    ++gone;
  }
  tell_(fmt::format("kept in {} ({}; the folder holds {}){}", newest.string(),
                    base::human_bytes(static_cast<double>(fs::file_size(newest))),
                    base::human_bytes(static_cast<double>(bytes)),
                    gone > 0 ? fmt::format("; {} that were not used for longest went", gone) : ""));
}

}  // namespace finetune
