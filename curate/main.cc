#include "base/program.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "curate";
  program.summary = "a textbook-quality filter for text corpora, and instruction data sets";
  return base::run_program(program, argc, argv);
}
