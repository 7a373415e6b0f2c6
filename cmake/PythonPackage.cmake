# Sets `result` to the folder of a Python package: of PYTHON_FOR_LIBTORCH, build/venv or python3, the first that has it; empty
# when none has. Found, not imported: importing torch takes seconds and fails in a CPU-only install of the wheel.
function(hornbook_python_package package result)
  set(${result} "" PARENT_SCOPE)
  foreach(python ${PYTHON_FOR_LIBTORCH} ${CMAKE_SOURCE_DIR}/build/venv/bin/python python3)
    execute_process(COMMAND ${python} -c "import importlib.util as u; print(u.find_spec('${package}').submodule_search_locations[0])"
                    OUTPUT_VARIABLE folder OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(folder)
      set(${result} "${folder}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()
