# Arrow and Parquet = the PyPI wheel pyarrow 26 (headers and libraries), described here as the target `arrow`.

if(NOT PARQUET)
  message(STATUS "PARQUET=OFF: Parquet files are neither read nor written")
  return()
endif()

set(_root "${ARROW}")
if(NOT _root)
  hornbook_python_package(pyarrow _root)
endif()
# Arrow's interface changes between major versions; the name of its libraries holds the version.
set(_libraries ${_root}/libparquet.so.2600 ${_root}/libarrow.so.2600)
foreach(_library ${_libraries})
  if(NOT EXISTS ${_library})
    message(FATAL_ERROR "Arrow was not found (looked for ${_library}). Parquet files are read and written with it. Install the wheel: scripts/install.sh, or pip install --no-deps pyarrow==26.0.1, or pass -DARROW=FOLDER; -DPARQUET=OFF -DHORNBOOK_TESTS=OFF builds everything else.")
  endif()
endforeach()

set(HORNBOOK_ARROW_ROOT ${_root})
message(STATUS "Arrow: ${_root}")
add_library(arrow INTERFACE)
target_include_directories(arrow SYSTEM INTERFACE ${_root}/include)
target_link_libraries(arrow INTERFACE ${_libraries})

# Gives a module its run path when installed: the wheel's folder or, with BUNDLE_LIBRARIES, copies beside the module.
function(hornbook_arrow_module target)
  if(NOT BUNDLE_LIBRARIES)
    set_target_properties(${target} PROPERTIES INSTALL_RPATH ${HORNBOOK_ARROW_ROOT})
    return()
  endif()
  install(FILES ${HORNBOOK_ARROW_ROOT}/libparquet.so.2600 ${HORNBOOK_ARROW_ROOT}/libarrow.so.2600 DESTINATION lib/hornbook)
  set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN")
endfunction()
