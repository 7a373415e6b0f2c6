// Personal and secret data in a text: found by shape and, where there is one, by checksum; masked or only counted.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "curate/steps/step.h"

namespace curate {

enum class PiiKind : std::uint8_t { kEmail, kIp, kPhone, kIban, kCard, kKey };
inline constexpr std::array<std::string_view, 6> kPiiNames = {"email", "ip", "phone", "iban", "card", "key"};

/// One find: bytes [begin, end) of the text.
struct PiiFind {
  std::size_t begin, end;
  PiiKind kind;
};

/// All finds, in order, none overlapping another.
///   email  local@domain.tld
///   ip     public IPv4 and IPv6 addresses, private and documentation ones too when `private_ips`
///   phone  +CC with 7 to 14 digits behind an assigned country code; North American (ddd) ddd-dddd and ddd-ddd-dddd
///   iban   known country and length, ISO 7064 check digits
///   card   13 to 19 digits of a card network, Luhn's check digit
///   key    keys of known services (AWS, GitHub with its CRC, GitLab, Slack, Stripe, Google, OpenAI, Hugging Face, npm)
///   and
///          private key blocks
void find_pii(std::string_view text, bool private_ips, std::vector<PiiFind>& finds);

/// `mask` writes <email> and so on over a find; every kind is counted in the score pii_KIND. Edits the text.
class Pii : public Step {
 public:
  std::array<std::string, kPiiNames.size()> action = {"mask", "mask", "mask", "mask", "mask", "mask"};
  bool private_ips = false;
  std::int64_t max_finds = 0;

  void visit(base::OptionVisitor& v) override;
  Verdict apply(Document& document, std::vector<Measure>* measures = nullptr) const override;
  std::vector<Evidence> evidence(Document& document, std::string_view measure) const override;
};

/// Of digits and letters without blanks: the ISO 7064 mod 97-10 check of an IBAN with a known country's length.
bool is_iban(std::string_view code);
/// Luhn's check of a string of digits.
bool passes_luhn(std::string_view digits);
/// GitHub's and npm's tokens: PREFIX_ and 36 characters, of which the last six are the CRC-32 of the others in base 62.
bool passes_token_checksum(std::string_view token);

}  // namespace curate
