// Parquet files as blocks of JSON lines, and records as Parquet files. Tested by tests/base/parquet_test.cc.
#include "base/parquet.h"

#include <dlfcn.h>

#include <cerrno>
#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "base/parquet_module.h"

namespace base {
namespace {

// The loader's words where there is no room for a library that is there.
bool is_of_memory(const std::string& cause) {
  for (const char* words : {"failed to map segment", "cannot allocate", "Cannot allocate"})
    if (cause.find(words) != cause.npos) return true;
  return false;
}

const ParquetModule& module() {
  static const ParquetModule* loaded = [] {
    namespace fs = std::filesystem;
    const fs::path path =
        fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "lib/hornbook/libhornbook_parquet.so";
    // The sanitizers' run time refuses RTLD_DEEPBIND.
    const bool sanitized = ::dlsym(RTLD_DEFAULT, "__sanitizer_print_stack_trace") != nullptr;
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | (sanitized ? 0 : RTLD_DEEPBIND));
    void* symbol = handle ? ::dlsym(handle, "hornbook_parquet") : nullptr;
    if (symbol == nullptr) {
      const std::string cause = ::dlerror();
      throw Error(
          {"Parquet files cannot be read or written: " + cause, path.string(), "", "",
           is_of_memory(cause)
               ? advice_for(ENOMEM)
               : "scripts/install.sh installs Arrow (pyarrow); then configure and build again with -DPARQUET=ON"});
    }
    return static_cast<const ParquetModule*>(symbol);
  }();
  return *loaded;
}

}  // namespace

void require_parquet() { module(); }

std::unique_ptr<BlockSource> open_parquet(const std::string& path, std::uint32_t file, const RecordOptions& options) {
  return module().open(path, file, options);
}

std::unique_ptr<ParquetTypes> parquet_types(const std::vector<std::string>& paths, const std::string& text_field) {
  return module().types(paths, text_field);
}

std::unique_ptr<ParquetWriter> open_parquet_writer(const std::string& path, const ColumnType& type,
                                                   const ParquetTypes& like, int level) {
  return module().open_writer(path, type, like, level);
}

}  // namespace base
