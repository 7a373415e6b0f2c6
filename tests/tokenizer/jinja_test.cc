// The Jinja interpreter: what Jinja2 makes of each construct, where each character of the output came from, and the
// bounds that hold for templates that nobody has read.
#include "tokenizer/jinja/jinja.h"

#include <gmock/gmock.h>

#include <chrono>
#include <ctime>
#include <regex>
#include <thread>

#include "base/error.h"
#include "tests/error_of.h"
#include "tests/tokenizer/golden.h"

namespace {

using namespace tokenizer::jinja;
using testing::AllOf;
using testing::HasSubstr;

std::vector<Variable> variables_of(const Json& context) {
  std::vector<Variable> variables;
  for (const auto& [name, value] : context.items()) {
    const Role role = name == "messages" ? Role::kMessages : name == "tools" ? Role::kData : Role::kSetting;
    variables.push_back({name, &value, role});
  }
  return variables;
}

Rendered rendered(const std::string& text, const Json& context = Json::object()) {
  return Template(text).render(variables_of(context));
}
std::string text_of(const std::string& text, const Json& context = Json::object()) {
  return rendered(text, context).text;
}
std::string error_in(const std::string& text, const Json& context = Json::object()) {
  return error_of([&] { text_of(text, context); });
}

Json golden_file() {
  const auto reader = base::open_reader(std::string(HORNBOOK_SOURCE_DIR) + "/tests/golden/tokenizer/jinja.json.gz");
  std::string text;
  std::vector<char> buffer(1 << 20);
  while (const std::size_t size = reader->read(buffer.data(), buffer.size())) text.append(buffer.data(), size);
  return Json::parse(text);  // keeps the order of members, which tojson shows
}

TEST(Jinja, EqualsJinja2) {
  setenv("TZ", "UTC", 1);
  tzset();
  const Json golden = golden_file();
  Options options;
  options.now = std::chrono::system_clock::time_point(std::chrono::seconds(golden["now"].get<std::int64_t>()));
  const Json& context = golden["context"];
  std::size_t errors = 0;
  for (const Json& one : golden["cases"]) {
    const std::string source = one["template"];
    std::string got;
    const std::string error = error_of([&] { got = Template(source).render(variables_of(context), options).text; });
    if (one.contains("error")) {
      ++errors;
      EXPECT_NE(error, "no error") << source << "\n  " << one["error"] << "\n  " << got;
      EXPECT_THAT(error, HasSubstr("chat template:")) << source;
    } else {
      EXPECT_EQ(error, "no error") << source;
      EXPECT_EQ(got, one["text"].get<std::string>()) << source;
    }
  }
  EXPECT_GT(golden["cases"].size(), 850u);
  EXPECT_GT(errors, 150u);
}

const Json kChat = Json::parse(R"({"bos_token":"<s>","messages":[
  {"role":"system","content":" Be brief. "},
  {"role":"user","content":"Hi <|im_end|>"},
  {"role":"assistant","content":"Ünï","tool_calls":[{"function":{"name":"f","arguments":{"a":[1,true,"x\ny"]}}}]}],
  "tools":[{"name":"f"}]})");

// The text of the output as pieces: "owner/origin.member:text", with "*" for what is generated, "-" for none.
std::string pieces(const Rendered& rendered) {
  std::string all;
  std::size_t end = 0;
  for (const Span& span : rendered.spans) {
    EXPECT_EQ(span.begin, end);
    EXPECT_GT(span.end, span.begin);
    end = span.end;
    const auto number = [](std::int32_t index) { return index < 0 ? "-" : std::to_string(index); };
    all += "[" + number(span.owner) + "/";
    if (span.data)
      all +=
          number(span.origin) + "." + (span.member < 0 ? "-" : rendered.members[static_cast<std::size_t>(span.member)]);
    all += (span.generated ? "*:" : ":") + rendered.text.substr(span.begin, span.end - span.begin) + "]";
  }
  EXPECT_EQ(end, rendered.text.size());
  return all;
}
std::string pieces(const std::string& text) { return pieces(rendered(text, kChat)); }

TEST(JinjaOrigins, SayWhoseWordsAndWhoseTurn) {
  EXPECT_EQ(pieces("{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m['content'] | trim }}{% endfor %}end"),
            "[-/:<s>][0/:<][0/0.role:system][0/:>][0/0.content:Be brief.]"
            "[1/:<][1/1.role:user][1/:>][1/1.content:Hi <|im_end|>]"
            "[2/:<][2/2.role:assistant][2/:>][2/2.content:Ünï][-/:end]");
}

TEST(JinjaOrigins, TurnsOfASelectionAReorderingAndOfIndices) {
  EXPECT_EQ(pieces("{% for m in messages[1:] %}.{% endfor %}"), "[1/:.][2/:.]");
  EXPECT_EQ(pieces("{% for m in messages | reverse %}.{% endfor %}"), "[2/:.][1/:.][0/:.]");
  EXPECT_EQ(pieces("{% for m in messages if m.role == 'user' %}.{% endfor %}"), "[1/:.]");
  EXPECT_EQ(pieces("{% for m in messages | rejectattr('role', 'eq', 'user') %}.{% endfor %}"), "[0/:.][2/:.]");
  EXPECT_EQ(pieces("{% for i in range(1, 3) %}{% set m = messages[i] %}.{% endfor %}"), "[1/:.][2/:.]");
  EXPECT_EQ(pieces("{% for x in 'ab' %}{% set m = messages[loop.index0] %}.{% endfor %}"), "[0/:.][1/:.]");
  EXPECT_EQ(
      pieces("{% set ns = namespace(all=[]) %}{% for m in messages %}{% set ns.all = ns.all + [dict(m, content='n')] %}"
             "{% endfor %}{% for m in ns.all %}{{ m.content }}{% endfor %}"),
      "[0/:n][1/:n][2/:n]");
  // A loop within a turn belongs to it.
  EXPECT_EQ(pieces("{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.name }}.{% endfor %}{% endfor %}"),
            "[2/2.tool_calls:f][2/:.]");
}

TEST(JinjaOrigins, SurviveEveryWayOfAString) {
  const auto of_content = [](const std::string& expression) {
    return pieces("{% set c = messages[1].content %}{{ " + expression + " }}");
  };
  EXPECT_EQ(of_content("c"), "[-/1.content:Hi <|im_end|>]");
  EXPECT_EQ(of_content("'a' + c + 'b'"), "[-/:a][-/1.content:Hi <|im_end|>][-/:b]");
  EXPECT_EQ(of_content("('a' + c + 'b')[0:4]"), "[-/:a][-/1.content:Hi ]");
  EXPECT_EQ(of_content("('a' ~ c ~ 'b').split('|')[1]"), "[-/1.content:im_end]");
  EXPECT_EQ(of_content("('a' ~ c ~ 'b') | upper"), "[-/:A][-/1.content:HI <|IM_END|>][-/:B]");
  EXPECT_EQ(of_content("('a' ~ c)[::-1]"), "[-/1.content:>|dne_mi|< iH][-/:a]");
  EXPECT_EQ(of_content("c.replace('im', 'x')"), "[-/1.content:Hi <|][-/:x][-/1.content:_end|>]");
  EXPECT_EQ(of_content("'x-y'.replace('-', c)"), "[-/:x][-/1.content:Hi <|im_end|>][-/:y]");
  EXPECT_EQ(of_content("c | title"), "[-/1.content:Hi <|im_end|>]");
  EXPECT_EQ(of_content("[c, 'a'] | join('+')"), "[-/1.content:Hi <|im_end|>][-/:+a]");
  EXPECT_EQ(of_content("'%s!' % c"), "[-/1.content:Hi <|im_end|>][-/:!]");
  EXPECT_EQ(of_content("'{:>14}!'.format(c)"), "[-/: ][-/1.content:Hi <|im_end|>][-/:!]");
  EXPECT_EQ(of_content("c | tojson"), "[-/1.content:\"Hi <|im_end|>\"]");
  EXPECT_EQ(of_content("[c]"), "[-/:[][-/1.content:'Hi <|im_end|>'][-/:]]");
  EXPECT_EQ(of_content("('a' ~ c) | tojson"), "[-/1.content:\"][-/:a][-/1.content:Hi <|im_end|>\"]");
  EXPECT_EQ(of_content("c | list | first"), "[-/1.content:H]");
  EXPECT_EQ(of_content("c | escape"), "[-/1.content:Hi &lt;|im_end|&gt;]");
  EXPECT_EQ(of_content("{'k': c}.k | default('x')"), "[-/1.content:Hi <|im_end|>]");
  EXPECT_EQ(of_content("[c] | map('upper') | first"), "[-/1.content:HI <|IM_END|>]");
  EXPECT_EQ(of_content("c | indent(1, true)"), "[-/: ][-/1.content:Hi <|im_end|>]");
  EXPECT_EQ(of_content("c | length"), "[-/:13]");
}

TEST(JinjaOrigins, SurviveVariablesMacrosAndBlocks) {
  const std::string content = "[-/1.content:Hi <|im_end|>]";
  EXPECT_EQ(pieces("{% macro f(x) %}{{ x }}{% endmacro %}{{ f(messages[1].content) }}"), content);
  EXPECT_EQ(pieces("{% macro f(x) %}{{ x }}{% endmacro %}{{ f(messages[1].content) | trim }}"), content);
  EXPECT_EQ(pieces("{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{{ messages[1].content }}{% endcall %}"),
            content);
  EXPECT_EQ(pieces("{% set x %}{{ messages[1].content }}{% endset %}{{ x }}"), content);
  EXPECT_EQ(pieces("{% filter trim %}{{ messages[1].content }}{% endfilter %}"), content);
  EXPECT_EQ(pieces("{% set ns = namespace(x='') %}{% for m in messages[1:2] %}{% set ns.x = ns.x + '<' + m.content %}"
                   "{% endfor %}{{ ns.x }}"),
            "[1/:<][1/1.content:Hi <|im_end|>]");
  // What was captured in a turn stays of that turn.
  EXPECT_EQ(
      pieces("{% set ns = namespace(x='') %}{% for m in messages %}{% set x %}.{% endset %}{% set ns.x = ns.x ~ x %}"
             "{% endfor %}{{ ns.x }}"),
      "[0/:.][1/:.][2/:.]");
}

TEST(JinjaOrigins, OfWhatIsNoString) {
  EXPECT_EQ(pieces("{{ messages[2].tool_calls[0].function.arguments | tojson }}"),
            "[-/2.tool_calls:{\"a\": [1, true, \"x\\ny\"]}]");
  EXPECT_EQ(pieces("{{ messages[2].tool_calls[0].function.arguments.a[0] }}"), "[-/2.tool_calls:1]");
  EXPECT_EQ(pieces("{% for k, v in messages[2].tool_calls[0].function.items() %}{{ k }}{% break %}{% endfor %}"),
            "[-/2.tool_calls:name]");
  EXPECT_EQ(pieces("{{ tools | tojson }}"), "[-/-.tools:[{\"name\": \"f\"}]]");
}

TEST(JinjaOrigins, Generation) {
  const Template marked(
      "{% for m in messages %}{{ m.role }}:{% generation %}{{ m.content | trim }}!{% endgeneration %}{% endfor %}");
  EXPECT_TRUE(marked.marks_generation());
  EXPECT_FALSE(Template("{{ x }}").marks_generation());
  Json context;
  context["messages"] = Json::array({kChat["messages"][1]});
  EXPECT_EQ(pieces(marked.render(variables_of(context))), "[0/0.role:user][0/::][0/0.content*:Hi <|im_end|>][0/*:!]");
}

TEST(JinjaOrigins, AStringThatGrowsStaysWhatItWas) {
  const std::string text = text_of(
      "{% set ns = namespace(x='', kept=[]) %}{% for i in range(200) %}{% set ns.x = ns.x ~ 'abcdefgh' ~ i %}"
      "{% if i % 50 == 0 %}{% set ns.kept = ns.kept + [ns.x, ns.x ~ '!'] %}{% endif %}{% endfor %}"
      "{{ ns.kept | map('length') | join(',') }} {{ ns.x | length }} {{ ns.kept[2][-10:] }} {{ ns.kept[3][-11:] }}");
  EXPECT_EQ(text, "9,10,500,501,1001,1002,1551,1552 2090 abcdefgh50 abcdefgh50!");
}

TEST(JinjaErrors, NameTheLineAndWhatToDo) {
  EXPECT_THAT(error_in("a\n{{ x | nosuch }}"),
              AllOf(HasSubstr("chat template:2: unknown filter 'nosuch'"), HasSubstr("\n  ")));
  EXPECT_THAT(error_in("a\n\n{{ x is nosuch }}"), HasSubstr("chat template:3: unknown test 'nosuch'"));
  EXPECT_THAT(error_in("{% nosuch %}"), HasSubstr("chat template:1: unknown tag: got 'nosuch'"));
  EXPECT_THAT(error_in("\n{% include 'x' %}"),
              AllOf(HasSubstr("chat template:2"), HasSubstr("{% include %} is not supported")));
  EXPECT_THAT(error_in("{% if x %}\n{% for y in z %}"), AllOf(HasSubstr("chat template:2"), HasSubstr("{% endfor %}")));
  EXPECT_THAT(error_in("\n{{ x.y.z }}"), HasSubstr("chat template:2: 'x' is undefined"));
  EXPECT_THAT(error_in("\n{{ f() }}"), HasSubstr("chat template:2: 'f' is undefined"));
  EXPECT_THAT(error_in("{{ 'a'.encode() }}"), HasSubstr("not supported: got 'encode'"));
  EXPECT_THAT(error_in("{{ 'a'.nosuch() }}"), HasSubstr("a str has no 'nosuch'"));
  EXPECT_THAT(error_in("{{ [1] | random }}"), HasSubstr("not supported in chat templates: got 'random'"));
  EXPECT_THAT(error_in("{{ lipsum() }}"), HasSubstr("lipsum is not supported"));
  EXPECT_THAT(error_in("{% for m in x %}\n{% endfor %}\n{{ raise_exception('Roles must alternate') }}"),
              HasSubstr("chat template:3: the chat template refuses the conversation: Roles must alternate"));
  EXPECT_THAT(error_of([] { Template("{{", "qwen/chat_template.jinja"); }), HasSubstr("qwen/chat_template.jinja:1"));
  EXPECT_THAT(error_of([] { Template("a\xFF"); }), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_in("{{ 9223372036854775807 + 1 }}"), HasSubstr("64 bits"));
  EXPECT_THAT(error_in("{{ x + 1 }}", Json::parse(R"({"x":18446744073709551615})")), HasSubstr("does not fit"));
}

// Of processor time, which a machine under load does not lengthen; what a bound stops takes a second, what it would
// have let through minutes to years.
constexpr double kMostSeconds = 60;

TEST(JinjaBounds, ATemplateThatNobodyReadEndsSoon) {
  const std::string deep(100000, '(');
  const std::string templates[] = {
      "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
      "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}",
      "{{ 'x' * 1000000000 }}",
      "{{ [1] * 1000000000 }}",
      "{{ range(1000000000000) | list }}",
      "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f(x) %}{{ f(x + f(x)) }}{% endmacro %}{{ f(1) }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
      "{% set x = 'a' * 10000000 %}{% for i in range(99999) %}{{ 'b' in x }}{% endfor %}",
      "{% set x = 'a' * 10000000 %}{% for i in range(99999) %}{{ x | length }}{% endfor %}",
      "{% set x = 'ab' * 1000000 %}{% for i in range(9999) %}{{ x | replace('a', 'b') }}{% endfor %}",
      "{% set x = range(99999) | list %}{% for i in x %}{{ i in x }}{% endfor %}",
      "{% set x = range(99999) | list %}{% for i in x %}{% set y = x | sort %}{% endfor %}",
      "{% set x = range(99999) | list %}{% for i in x %}{% set y = x + x %}{% endfor %}",
      "{% set x = 'é' * 5000000 %}{% for i in range(99) %}{% set y = x | upper %}{% endfor %}",
      "{% set x = 'ß' * 5000000 %}{% for i in range(99) %}{% set y = x.title() %}{% endfor %}",
      "{{ ('a b ' * 5000000) | title }}",
      "{% set x = 'a' * 1000000 %}{% for i in range(90000) %}{% set y = x is lower %}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{% for i in range(90000) %}{% set y = x.zfill(2) %}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{% for i in range(90000) %}{% set y = x.swapcase() %}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{% for i in range(90000) %}{% set y = '{:.3}'.format(x) %}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{{ ([x ~ 'c', x ~ 'b'] * 40000) | map('int') | list }}",
      "{% set x = 'a' * 1000000 %}{{ ([x ~ 'c', x ~ 'b'] * 40000) | select('eq', x) | list }}",
      "{% set x = 'a' * 1000000 %}{{ ([x, x ~ 'b'] * 40000) | unique(true) | list }}",
      "{% set x = range(99999) | list %}{% for i in x %}{% set y = x[1:] == x %}{% set y = x[:] == x %}{% endfor %}",
      "{% set x = 'a' * 1000000 %}{{ ([x, x ~ 'b'] * 40000) | unique | list }}",
      "{% set x = 'a' * 1000000 %}{{ ([x ~ 'c', x ~ 'b'] * 40000) | sort }}",
      "{{ '%1000000000d' % 1 }}",
      "{{ '{:1000000000}'.format(1) }}",
      "{{ 'x'.center(1000000000) }}",
      "{{ '\\t'.expandtabs(1000000000) }}",
      "{{ 9 ** 999999999 }}",
      "{{ 'x' | indent(1000000000, true) }}",
      "{{ [1] | batch(1000000000, 'x') | list }}",
      "{{ [1] | slice(1000000000) | list }}",
      "{{ [[]] | tojson(indent=1000000000) }}",
      "{{ " + deep,
      "{{ " + deep + "1" + std::string(100000, ')') + " }}",
      "{{ " + std::string(100000, '-') + "1 }}",
      "{{ " + std::string(100000, '[') + " }}",
      "{{ x" + std::string(100000, '.') + " }}",
  };
  std::string many_filters = "{{ 1", many_not = "{{", many_if, many_minus = "{{ 1", many_else = "{{ 1";
  for (int i = 0; i < 20000; ++i) {
    many_filters += "|string", many_not += " not", many_if += "{% if 1 %}", many_minus += "-1",
        many_else += " if 1 else 1";
  }
  std::vector<std::string> all(std::begin(templates), std::end(templates));
  for (const std::string& text :
       {many_filters + "}}", many_not + " 1 }}", many_if, many_minus + "}}", many_else + "}}"})
    all.push_back(text);
  for (const std::string& text : all) {
    const std::clock_t begin = std::clock();
    EXPECT_NE(error_in(text), "no error") << text.substr(0, 100);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, kMostSeconds) << text.substr(0, 100);
  }
}

// Texts that a search by trial would compare at every place: an answer or a refusal, but soon.
TEST(JinjaBounds, LookingForALongTextEndsSoon) {
  const std::string set =
      "{% set long = 'a' * 60000000 %}{% set late = 'a' * 300000 ~ 'b' %}"
      "{% set early = 'b' ~ 'a' * 300000 %}{% set amid = 'a' * 99 ~ 'b' ~ 'a' * 99 %}";
  for (const char* wanted : {"late", "early", "amid"})
    for (const char* use : {"W in long", "long.find(W)", "long.rfind(W)", "long.count(W)", "long.split(W) | length",
                            "long.rsplit(W) | length", "long.replace(W, 'x') | length", "long.partition(W)[0] | length",
                            "long.rpartition(W)[0] | length", "long.strip(W) | length", "long | replace(W, '')"}) {
      const std::string expression = std::regex_replace(std::string(use), std::regex("W"), wanted);
      const std::clock_t begin = std::clock();
      error_in(set + "{{ " + expression + " }}");
      const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
      EXPECT_LT(seconds, kMostSeconds) << expression;
    }
  EXPECT_EQ(
      Template("{{ 'abcab'.find('ab', 1) }} {{ 'abcab'.rfind('ab') }} {{ 'aaaa'.count('aa') }} {{ 'b' in 'abc' }} "
               "{{ 'bc' in 'abc' }} {{ '' in '' }} {{ 'abc' in 'ab' }} {{ 'xaabxaab'.split('aab') }} "
               "{{ 'xaabx'.rsplit('aab') }} {{ 'aXXb'.rpartition('XX')[2] }}")
          .render({})
          .text,
      "3 3 2 True True True False ['x', 'x', ''] ['x', 'x'] b");
}

TEST(JinjaBounds, LargeTemplatesAndTextsAreLinear) {
  std::string text, sum = "{{ 'a'";
  for (int i = 0; i < 20000; ++i) {
    text += "{% if x %}{% set v" + std::to_string(i) + " = 1 %}{% endif %}\n";
    sum += " + 'a'";
  }
  const std::clock_t begin = std::clock();
  EXPECT_EQ(text_of(text), "");
  EXPECT_EQ(text_of(sum + " }}").size(), 20001u);
  // A text of 20 MB built piece by piece: its copies alone would be 100 GB.
  EXPECT_EQ(
      text_of("{% set ns = namespace(x='') %}{% for i in range(10000) %}{% set ns.x = ns.x ~ 'x' * 2000 %}{% endfor %}"
              "{{ ns.x | length }}"),
      "20000000");
  EXPECT_LT(static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC, kMostSeconds);
}

TEST(Jinja, OneTemplateInSeveralThreads) {
  const Template compiled("{% for m in messages %}{{ m.role }}{{ m.content | upper }}{% endfor %}");
  const std::string expected = compiled.render(variables_of(kChat)).text;
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      Rendered again;
      for (int i = 0; i < 500; ++i) {
        compiled.render(variables_of(kChat), {}, again);
        wrong[t] += again.text != expected;
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

TEST(Jinja, TellsWhatItReads) {
  const Template compiled("{% set y = 1 %}{% if tools %}{{ date_string }}{{ y }}{% endif %}");
  EXPECT_TRUE(compiled.reads("tools"));
  EXPECT_TRUE(compiled.reads("date_string"));
  EXPECT_FALSE(compiled.reads("y"));
  EXPECT_FALSE(compiled.reads("messages"));
}

}  // namespace
