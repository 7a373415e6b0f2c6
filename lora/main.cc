#include "base/program.h"

int main(int argc, char** argv) {
  base::Program program;
  program.name = "lora";
  program.summary = "LoRA adapters: inspect, merge, export, convert";
  return base::run_program(program, argc, argv);
}
