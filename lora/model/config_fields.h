// Typed access to the keys of a JSON object, which remembers what was asked for.
// Tested by tests/lora/model/config_test.cc.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace lora {

/// A key that is absent or null takes the fallback. Errors name the key, its value and the file.
class Fields {
 public:
  /// `name`: what the object is, for errors.
  Fields(const nlohmann::json& object, std::string file, std::string name = "config.json")
      : object_(object), file_(std::move(file)), name_(std::move(name)) {}

  bool has(const char* key) const;       ///< there, and not null
  bool contains(const char* key) const;  ///< there
  std::int64_t integer(const char* key, std::int64_t fallback) const;
  std::int64_t size(const char* key, std::int64_t fallback) const;  ///< 1 to 2^31
  double number(const char* key, double fallback) const;
  bool truth(const char* key, bool fallback) const;
  std::string text(const char* key, const std::string& fallback) const;
  nlohmann::json object(const char* key) const;  ///< an empty one when absent
  std::int64_t token(const char* key, std::int64_t fallback) const;
  std::vector<float> numbers(const char* key) const;      ///< an empty list when absent
  std::vector<std::string> texts(const char* key) const;  ///< likewise
  std::vector<std::int64_t> integers(const char* key) const;
  void use(const char* key) const { used_.insert(key); }
  /// Throws base::Error for the first key that nobody asked for and that is not null, false or empty.
  void refuse_others(const std::string& where, const std::set<std::string_view>& harmless) const;
  [[noreturn]] void wrong(const char* key, const std::string& expected, const std::string& advice = "") const;
  const std::string& file() const { return file_; }

 private:
  const nlohmann::json& value(const char* key) const;
  const nlohmann::json& list(const char* key, const char* expected) const;
  std::string inside() const;

  const nlohmann::json& object_;
  std::string file_, name_;
  mutable std::set<std::string, std::less<>> used_;
};

}  // namespace lora
