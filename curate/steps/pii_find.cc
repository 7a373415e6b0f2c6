// Finding personal data in a text. Tested by tests/curate/steps/cleaning_test.cc.
#include <arpa/inet.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "curate/steps/pii.h"
#include "curate/steps/pii_versions.h"

namespace curate {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_word(char c) { return is_digit(c) || is_letter(c) || c == '_' || (c & 0x80); }

char small(char c) { return is_upper(c) ? static_cast<char>(c + ('a' - 'A')) : c; }
bool equal_letters(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) { return small(a) == b; });
}

// The text with positions outside it reading as '\0'.
struct View {
  std::string_view text;
  char at(std::size_t i) const { return i < text.size() ? text[i] : '\0'; }
  char before(std::size_t i) const { return i > 0 ? text[i - 1] : '\0'; }
  // The end of the run from `i` on of characters that pass; looks at `most` of them at most.
  template <class Test>
  std::size_t run(std::size_t i, Test test, std::size_t most = 256) const {
    const std::size_t end = text.size() - i < most ? text.size() : i + most;
    while (i < end && test(text[i])) ++i;
    return i;
  }
};

// ---- e-mail --------------------------------------------------------------------------------------------------------

// Looks the text [begin, end) with '@' at `sign` like an address, and is none? A repository ("git@host:path"), a
// version
// ("package@1.2.3-beta.rc"), a file ("icon@2x.png"), a unit of systemd ("getty@tty1.service").
bool is_no_mailbox(View view, std::size_t begin, std::size_t sign, std::size_t end) {
  static constexpr std::string_view kNoDomains[] = {
      "png",  "jpg",     "jpeg",   "gif",   "svg",    "webp",  "bmp",   "ico",  "pdf", "css",  "js",
      "ts",   "tsx",     "jsx",    "json",  "html",   "htm",   "xml",   "yaml", "yml", "toml", "php",
      "jar",  "tar",     "gz",     "exe",   "dll",    "txt",   "md5",   "cpp",  "hpp", "csv",  "doc",
      "docx", "service", "socket", "timer", "target", "mount", "slice", "scope"};
  const std::string_view host = view.text.substr(sign + 1, end - sign - 1),
                         local = view.text.substr(begin, sign - begin);
  if (local == "git" || local == "hg" || local == "svn") return true;
  const std::string_view top = host.substr(host.rfind('.') + 1);
  if (std::any_of(std::begin(kNoDomains), std::end(kNoDomains), [&](auto name) { return equal_letters(top, name); }))
    return true;
  const std::size_t major = view.run(sign + 1, is_digit);  // of a version
  if (major > sign + 1 && view.at(major) == '.' && is_digit(view.at(major + 1))) return true;
  if (view.at(end) != ':') return false;
  const std::size_t path = view.run(end + 1, [](char c) { return is_word(c) || std::strchr("./~-", c) != nullptr; });
  const std::string_view behind = view.text.substr(end + 1, path - end - 1);
  return behind.find('/') != std::string_view::npos && !behind.starts_with("//");
}

// `sign` is the position of '@'.
bool find_email(View view, std::size_t sign, PiiFind& find) {
  auto local = [](char c) { return is_digit(c) || is_letter(c) || std::strchr("._%+-", c) != nullptr; };
  std::size_t begin = sign;
  while (begin > 0 && sign - begin < 64 && view.at(begin - 1) != '\0' && local(view.at(begin - 1))) --begin;
  while (begin < sign && !is_digit(view.at(begin)) && !is_letter(view.at(begin))) ++begin;
  if (begin == sign || view.at(sign - 1) == '.' || view.before(begin) == '@') return false;  // @user@host: a handle
  std::size_t end = sign + 1, good = 0;
  for (;;) {  // labels; the last one that is two letters or more may end the address
    std::size_t stop = view.run(end, [](char c) { return is_digit(c) || is_letter(c) || c == '-'; });
    if (stop == end || stop - end > 63 || view.at(end) == '-') break;
    std::size_t letters = view.run(end, is_letter);
    if (end > sign + 1 && letters == stop && stop - end >= 2) good = stop;
    if (view.at(stop) != '.') break;
    end = stop + 1;
  }
  if (good == 0 || is_no_mailbox(view, begin, sign, good)) return false;
  find = {begin, good, PiiKind::kEmail};
  return true;
}

// ---- addresses -----------------------------------------------------------------------------------------------------

bool is_public(const unsigned char* a) {
  if (a[0] == 0 || a[0] == 10 || a[0] == 127 || a[0] >= 224) return false;
  if (a[0] == 100 && (a[1] & 0xC0) == 64) return false;
  if (a[0] == 169 && a[1] == 254) return false;
  if (a[0] == 172 && (a[1] & 0xF0) == 16) return false;
  if (a[0] == 192 && (a[1] == 168 || (a[1] == 0 && (a[2] == 0 || a[2] == 2)))) return false;
  if (a[0] == 198 && ((a[1] & 0xFE) == 18 || (a[1] == 51 && a[2] == 100))) return false;
  return !(a[0] == 203 && a[1] == 0 && a[2] == 113);
}

bool find_ipv4(View view, std::size_t begin, bool private_ips, PiiFind& find) {
  if (is_word(view.before(begin)) || view.before(begin) == '.' || view.before(begin) == '-') return false;
  unsigned char address[4];
  std::size_t i = begin;
  for (int part = 0; part < 4; ++part) {
    if (part > 0 && view.at(i++) != '.') return false;
    std::size_t stop = view.run(i, is_digit);
    if (stop == i || stop - i > 3 || (stop - i > 1 && view.at(i) == '0')) return false;
    int value = 0;
    for (; i < stop; ++i) value = value * 10 + (view.at(i) - '0');
    if (value > 255) return false;
    address[part] = static_cast<unsigned char>(value);
  }
  if (is_word(view.at(i)) || view.at(i) == '-' || (view.at(i) == '.' && is_word(view.at(i + 1)))) return false;
  if (!private_ips && !is_public(address)) return false;
  if (is_dotted_number(view.text, begin, i, *std::max_element(address, address + 4))) return false;
  find = {begin, i, PiiKind::kIp};
  return true;
}

// `colon` is the first ':' of a run of hexadecimal digits and colons.
bool find_ipv6(View view, std::size_t colon, bool private_ips, PiiFind& find) {
  auto part = [](char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':'; };
  std::size_t begin = colon;
  while (begin > 0 && colon - begin < 4 && part(view.at(begin - 1))) --begin;
  if (is_word(view.before(begin)) || view.before(begin) == ':') return false;
  std::size_t end = view.run(colon, part, 64);
  if (is_word(view.at(end))) return false;
  if (end > begin && view.at(end - 1) == ':' && view.at(end - 2) != ':') --end;  // the colon of a sentence
  std::string candidate(view.text.substr(begin, end - begin));
  // Three groups and a digit at least: "a::b" and "12:30:45" are more often something else.
  if (candidate.size() < 6 || candidate.size() > 39 || std::count(candidate.begin(), candidate.end(), ':') < 3)
    return false;
  if (std::none_of(candidate.begin(), candidate.end(), is_digit)) return false;
  unsigned char address[16];
  if (inet_pton(AF_INET6, candidate.c_str(), address) != 1) return false;
  // Public addresses begin with 2 or 3 so far: times, hardware addresses and the names of C++ do not.
  const bool is_documentation = address[0] == 0x20 && address[1] == 1 && address[2] == 0x0D && address[3] == 0xB8;
  if (!private_ips && ((address[0] & 0xE0) != 0x20 || is_documentation)) return false;
  find = {begin, end, PiiKind::kIp};
  return true;
}

// ---- telephone -----------------------------------------------------------------------------------------------------

// ITU country codes by their first digits; two digits where the third is not part of the code.
bool is_country_code(std::string_view digits) {
  static constexpr std::string_view kTwo =
      " 20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86 "
      "90 91 92 93 "
      "94 95 98 ";
  static constexpr std::string_view kThree = " 21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 87 88 96 97 99 ";
  if (digits.size() < 3) return false;
  if (digits[0] == '1' || digits[0] == '7') return true;
  std::string key = " " + std::string(digits.substr(0, 2)) + " ";
  return kTwo.find(key) != std::string_view::npos || kThree.find(key) != std::string_view::npos;
}

bool find_international(View view, std::size_t plus, PiiFind& find) {
  if (is_word(view.before(plus)) || view.before(plus) == '+' || !is_digit(view.at(plus + 1))) return false;
  std::string digits;
  std::size_t end = plus + 1, separators = 0;
  for (std::size_t i = plus + 1; i < view.text.size(); ++i) {
    char c = view.at(i);
    if (is_digit(c)) {
      digits += c;
      end = i + 1;
      separators = 0;
      if (digits.size() > 15) return false;
    } else if (std::strchr(" -.()/", c) != nullptr && c != '\0') {
      if (++separators > 2) break;
    } else {
      break;
    }
  }
  if (digits.size() < 8 || digits.size() > 15 || is_word(view.at(end)) || !is_country_code(digits)) return false;
  // North American numbers have ten digits; area and exchange begin with 2 to 9.
  if (digits[0] == '1' && (digits.size() != 11 || digits[1] < '2' || digits[4] < '2')) return false;
  find = {plus, end, PiiKind::kPhone};
  return true;
}

// (ddd) ddd-dddd, ddd-ddd-dddd, ddd.ddd.dddd and 1-ddd-ddd-dddd; area and exchange begin with 2 to 9.
bool find_north_american(View view, std::size_t begin, PiiFind& find) {
  char previous = view.before(begin);
  if (is_word(previous) || previous == '-' || previous == '.' || previous == '+' || previous == '/') return false;
  std::size_t i = begin;
  if (view.at(i) == '1' && (view.at(i + 1) == '-' || view.at(i + 1) == '.' || view.at(i + 1) == ' ')) i += 2;
  auto digits = [&](int count, bool leading) {
    if (leading && !(view.at(i) >= '2' && view.at(i) <= '9')) return false;
    for (int k = 0; k < count; ++k, ++i) {
      if (!is_digit(view.at(i))) return false;
    }
    return true;
  };
  char separator;
  if (view.at(i) == '(') {
    ++i;
    if (!digits(3, true) || view.at(i++) != ')') return false;
    if (view.at(i) == ' ' || view.at(i) == '-') ++i;
    if (!digits(3, true)) return false;
    separator = view.at(i);
    if (separator != '-' && separator != '.' && separator != ' ') return false;
    ++i;
  } else {
    if (!digits(3, true)) return false;
    separator = view.at(i);
    if (separator != '-' && separator != '.') return false;
    ++i;
    if (!digits(3, true) || view.at(i++) != separator) return false;
  }
  if (!digits(4, false) || is_word(view.at(i)) || (view.at(i) == separator && is_digit(view.at(i + 1)))) return false;
  find = {begin, i, PiiKind::kPhone};
  return true;
}

// ---- IBAN and cards ------------------------------------------------------------------------------------------------

// Country and length (SWIFT's registry).
constexpr std::string_view kIbanLengths =
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22GE"
    "22GI23"
    "GL18GR27GT28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27MT31MU30NI"
    "28NL18"
    "NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26UA29VA22VG24XK20YE30";

std::size_t iban_length(std::string_view code) {
  for (std::size_t i = 0; i + 4 <= kIbanLengths.size(); i += 4) {
    if (kIbanLengths.substr(i, 2) == code.substr(0, 2)) {
      return static_cast<std::size_t>((kIbanLengths[i + 2] - '0') * 10 + (kIbanLengths[i + 3] - '0'));
    }
  }
  return 0;
}

bool find_iban(View view, std::size_t begin, PiiFind& find) {
  if (is_word(view.before(begin)) || !is_upper(view.at(begin + 1)) || !is_digit(view.at(begin + 2)) ||
      !is_digit(view.at(begin + 3))) {
    return false;
  }
  std::size_t length = iban_length(view.text.substr(begin, 2));
  if (length == 0) return false;
  std::string code;
  std::size_t i = begin;
  for (; i < view.text.size() && code.size() < length; ++i) {
    char c = view.at(i);
    if (is_digit(c) || is_upper(c)) {
      code += c;
    } else if (c != ' ' || code.size() % 4 != 0) {
      return false;
    }
  }
  if (code.size() != length || is_word(view.at(i)) || !is_iban(code)) return false;
  find = {begin, i, PiiKind::kIban};
  return true;
}

bool find_card(View view, std::size_t begin, PiiFind& find) {
  char first = view.at(begin), previous = view.before(begin);
  if (first < '2' || first > '6' || is_word(previous) || previous == '-' || previous == '.') return false;
  std::string digits;
  std::size_t i = begin, end = begin;
  char separator = '\0';
  for (; i < view.text.size() && digits.size() < 20; ++i) {
    char c = view.at(i);
    if (is_digit(c)) {
      digits += c;
      end = i + 1;
    } else if ((c == ' ' || c == '-') && is_digit(view.at(i + 1)) && (separator == '\0' || separator == c) &&
               digits.size() >= 4) {
      separator = c;
    } else {
      break;
    }
  }
  if (is_word(view.at(end)) || view.at(end) == '.' || digits.size() < 13 || digits.size() > 19) return false;
  auto starts = [&](int low, int high, std::size_t count) {
    int value = std::stoi(digits.substr(0, count));
    return value >= low && value <= high;
  };
  const std::size_t n = digits.size();
  bool network = (first == '4' && (n == 13 || n == 16 || n == 19)) ||
                 ((starts(51, 55, 2) || starts(2221, 2720, 4)) && n == 16) ||
                 ((starts(34, 34, 2) || starts(37, 37, 2)) && n == 15) ||
                 ((starts(6011, 6011, 4) || starts(644, 659, 3)) && n == 16) ||
                 ((starts(300, 305, 3) || starts(36, 36, 2) || starts(38, 39, 2)) && n == 14) ||
                 (starts(3528, 3589, 4) && n == 16);
  if (!network || !passes_luhn(digits)) return false;
  find = {begin, end, PiiKind::kCard};
  return true;
}

// ---- keys ----------------------------------------------------------------------------------------------------------

struct KeyShape {
  std::string_view prefix;
  std::size_t least, most;  // characters behind the prefix
  std::string_view extra;   // allowed besides letters and digits
  bool upper = false;       // capitals and digits only
  bool checksum = false;
};
constexpr KeyShape kKeys[] = {{"AKIA", 16, 16, "", true},
                              {"ASIA", 16, 16, "", true},
                              {"ghp_", 36, 36, "", false, true},
                              {"gho_", 36, 36, "", false, true},
                              {"ghu_", 36, 36, "", false, true},
                              {"ghs_", 36, 36, "", false, true},
                              {"ghr_", 36, 36, "", false, true},
                              {"npm_", 36, 36, "", false, true},
                              {"github_pat_", 82, 82, "_"},
                              {"glpat-", 20, 20, "_-"},
                              {"xoxb-", 20, 120, "-"},
                              {"xoxp-", 20, 120, "-"},
                              {"xoxa-", 20, 120, "-"},
                              {"xoxr-", 20, 120, "-"},
                              {"xoxs-", 20, 120, "-"},
                              {"sk_live_", 24, 99, ""},
                              {"rk_live_", 24, 99, ""},
                              {"AIza", 35, 35, "_-"},
                              {"sk-ant-", 40, 200, "_-"},
                              {"sk-proj-", 40, 200, "_-"},
                              {"sk-", 48, 48, ""},
                              {"hf_", 34, 34, ""}};

bool find_key(View view, std::size_t begin, PiiFind& find) {
  if (is_word(view.before(begin))) return false;
  std::string_view rest = view.text.substr(begin);
  for (const KeyShape& shape : kKeys) {
    if (!rest.starts_with(shape.prefix)) continue;
    std::size_t start = begin + shape.prefix.size();
    std::size_t end = view.run(start, [&](char c) {
      return is_digit(c) || is_upper(c) || (!shape.upper && is_letter(c)) ||
             shape.extra.find(c) != std::string_view::npos;
    });
    if (end - start < shape.least || end - start > shape.most || is_word(view.at(end))) continue;
    if (shape.checksum && !passes_token_checksum(view.text.substr(begin, end - begin))) continue;
    // A placeholder ("AKIAXXXXXXXXXXXXXXXX", "hf_xxxxxxxx...") is no secret.
    std::string_view secret = view.text.substr(start, end - start);
    bool varied = std::count(secret.begin(), secret.end(), secret[0]) < static_cast<std::ptrdiff_t>(secret.size()) / 2;
    if (!varied) continue;
    find = {begin, end, PiiKind::kKey};
    return true;
  }
  return false;
}

// "-----BEGIN ... PRIVATE KEY-----" to its END line.
bool find_private_key(View view, std::size_t begin, PiiFind& find) {
  std::string_view rest = view.text.substr(begin, 20000);
  if (!rest.starts_with("-----BEGIN ")) return false;
  std::size_t title_end = rest.find("-----", 11);
  if (title_end == std::string_view::npos || title_end > 60) return false;
  std::string_view title = rest.substr(11, title_end - 11);
  if (!title.ends_with("PRIVATE KEY") && !title.ends_with("PRIVATE KEY BLOCK")) return false;
  std::string last = "-----END " + std::string(title) + "-----";
  rest =
      rest.substr(0, rest.find("-----BEGIN ", title_end));  // a text full of beginnings is not searched again and again
  std::size_t end = rest.find(last, title_end);
  if (end == std::string_view::npos) return false;
  find = {begin, begin + end + last.size(), PiiKind::kKey};
  return true;
}

}  // namespace

bool is_iban(std::string_view code) {
  if (code.size() < 15 || iban_length(code) != code.size()) return false;
  int remainder = 0;
  for (std::size_t i = 0; i < code.size(); ++i) {
    char c = code[(i + 4) % code.size()];  // the country and its check digits come last
    if (is_digit(c)) {
      remainder = (remainder * 10 + (c - '0')) % 97;
    } else if (is_upper(c)) {
      remainder = (remainder * 100 + (c - 'A' + 10)) % 97;
    } else {
      return false;
    }
  }
  return remainder == 1;
}

bool passes_luhn(std::string_view digits) {
  int sum = 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    int digit = digits[digits.size() - 1 - i] - '0';
    if (i % 2 == 1) digit = digit * 2 > 9 ? digit * 2 - 9 : digit * 2;
    sum += digit;
  }
  return !digits.empty() && sum % 10 == 0;
}

bool passes_token_checksum(std::string_view token) {
  static constexpr std::string_view kBase62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  if (token.size() != 40) return false;
  std::string_view body = token.substr(4, 30), check = token.substr(34);
  unsigned long crc = crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  for (std::size_t i = 6; i-- > 0; crc /= 62) {
    if (check[i] != kBase62[crc % 62]) return false;
  }
  return true;
}

void find_pii(std::string_view text, bool private_ips, std::vector<PiiFind>& finds) {
  finds.clear();
  View view{text};
  std::size_t taken = 0;  // nothing may begin before it
  auto add = [&](const PiiFind& find) {
    if (find.begin < taken) return false;
    finds.push_back(find);
    taken = find.end;
    return true;
  };
  PiiFind find{};
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    bool found = false;
    if (c == '@') {
      found = find_email(view, i, find) && add(find);
    } else if (c == ':') {
      found = (view.at(i + 1) == ':' || view.before(i) != '\0') && find_ipv6(view, i, private_ips, find) && add(find);
    } else if (is_digit(c)) {
      if (is_digit(view.before(i))) continue;
      found =
          (find_ipv4(view, i, private_ips, find) || find_card(view, i, find) || find_north_american(view, i, find)) &&
          add(find);
    } else if (c == '+') {
      found = find_international(view, i, find) && add(find);
    } else if (c == '(') {
      found = is_digit(view.at(i + 1)) && find_north_american(view, i, find) && add(find);
    } else if (c == '-') {
      found = view.before(i) != '-' && find_private_key(view, i, find) && add(find);
    } else if (is_letter(c) && !is_word(view.before(i))) {
      if (is_upper(c) && find_iban(view, i, find)) found = add(find);
      if (!found && std::strchr("Aghnxsr", c) != nullptr) found = find_key(view, i, find) && add(find);
    }
    if (found) i = find.end - 1;
  }
}

}  // namespace curate
