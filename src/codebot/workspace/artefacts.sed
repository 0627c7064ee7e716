# What tools leave in a tree: from the path of a file to the folder, or the file, that is theirs.
#
# Each is told by what its tool writes there, not by a name that a person may choose as well. Behind
# `//` is named a file that has to be there, too: the tool's own settings, or the source of a copy.

# Python: environments, bytecode, what setuptools and coverage write
s,^(.+)/pyvenv\.cfg$,\1,p;t
s,^(.+)/conda-meta/history$,\1,p;t
s,^((.*/)?__pycache__)/[^/]*\.(py[co]|nb[ci])(\.[0-9]+)?$,\1,p;t
s,^(.+)\.py[co]$,&//\1.py,p;t
s,^(.*\.egg-info)/PKG-INFO$,\1,p;t
s,^((.*/)?\.eggs)/README\.txt$,\1,p;t
s,^((.*/)?__pypackages__)/[0-9.]+/.*$,\1,p;t
s,^(.*/)?\.(dmypy\.json|pdm-python|mutmut-cache)$,&,p;t
s,^((.*/)?\.coverage(\.[^/]+\.[0-9]+\.[A-Za-z]+)?)$,\1,p;t
s,^((.*/)?)coverage\.(xml|json|lcov)$,&//\1.coverage,p;t
s,^((.*/)?htmlcov)/(status\.json|coverage_html[^/]*\.js)$,\1,p;t

# Caches: by their own word (https://bford.info/cachedir/), or by a name that is one tool's own
s,^(.+)/CACHEDIR\.TAG$,\1,p;t
s,^((.*/)?\.(pytest_cache|mypy_cache|ruff_cache|pytype|hypothesis|tox|nox))/.*$,\1,p;t
s,^((.*/)?\.(ipynb_checkpoints|gradle|parcel-cache|turbo|nyc_output|dart_tool|stack-work))/.*$,\1,p;t
s,^((.*/)?\.(pyre|ropeproject|jupyter_cache|direnv|import_linter_cache))/.*$,\1,p;t
s,^((.*/)?\.(svelte-kit|nuxt|angular|astro|docusaurus|vite|swc|nx/cache|pnpm-store|sass-cache))/.*$,\1,p;t
s,^((.*/)?\.yarn/(cache|unplugged))/.*$,\1,p;t
s,^(.*/)?\.(yarn/(install-state\.gz|build-state\.yml)|pnp\.(cjs|loader\.mjs))$,&,p;t
s,^((.*/)?\.(jekyll-cache|serverless|aws-sam|vercel|netlify))/.*$,\1,p;t
s,^((.*/)?\.(kotlin|metals|bloop|bsp|scala-build|elixir_ls|ccls-cache|clangd|dub|spago|Rproj\.user))/.*$,\1,p;t
s,^((.*/)?(autom4te\.cache|elm-stuff|playwright-report|\.terraform/(providers|modules)))/.*$,\1,p;t
s,^((.*/)?\.(libs|phpunit\.cache))/.*$,\1,p;t
s,^(.*/)?\.(eslintcache|stylelintcache|phpunit\.result\.cache|php-cs-fixer\.cache|rspec_status)$,&,p;t
s,^(.*/)?\.(flutter-plugins(-dependencies)?|Rhistory|RData)$,&,p;t
s,^.*\.tsbuildinfo$,&,p;t

# Build folders that hold a file of their tool
s,^(.+)/CMakeCache\.txt$,\1,p;t
s,^((.*/)?CMakeFiles)/.*$,\1,p;t
s,^(.+)/meson-private/.*$,\1,p;t
s,^((.*/)?obj)/project\.assets\.json$,\1,p;t
s,^((.*/)?\.next)/(BUILD_ID|build-manifest\.json|trace)$,\1,p;t
s,^((.*/)?coverage)/(lcov-report/.*|clover\.xml|coverage-final\.json)$,\1,p;t
s,^((.*/)?coverage)/\.(last_run|resultset)\.json$,\1,p;t
s,^((.*/)?test-results)/\.last-run\.json$,\1,p;t
s,^((.*/)?TestResults)/.*\.trx$,\1,p;t
s,^(.+)/\.ninja_(log|deps)$,\1,p;t
s,^\.ninja_(log|deps)$,&,p;t
s,^((.*/)?\.deps)/.*\.T?P[lo]$,\1,p;t
s,^(.+)/\.buildinfo$,\1,p;t
s,^((.*/)?\.?doctrees)/environment\.pickle$,\1,p;t
s,^(.+)\.(gc(da|no)|profraw)$,&,p;t
s,^(.*/)?(vgcore\.[0-9]+|nohup\.out)$,&,p;t

# Packages that were installed
s,^((.*/)?node_modules)/\.(package-lock\.json|yarn-integrity|yarn-state\.yml|modules\.yaml)$,\1,p;t
s,^((.*/)?node_modules)/\.bin/.*$,\1,p;t
s,^((.*/)?vendor)/composer/installed\.json$,\1,p;t
s,^((.*/)?vendor/bundle)/ruby/.*$,\1,p;t
s,^((.*/)?deps)/[^/]+/\.hex$,\1,p;t

# What systems and editors write
s,^(.*/)?(\.DS_Store|Thumbs\.db|\.[^/]+\.sw[nop])$,&,p;t
s,^(.*/)?((npm|yarn)-(debug|error)\.log|\.pnpm-debug\.log)$,&,p;t
s,^(.+)(~|\.orig|\.rej)$,&//\1,p;t

# From here on a name counts beside its tool's settings: not among fixtures, which may show just that
\,(^|/)(fixtures?|__fixtures__|test-?data)/,d
s,^(((.*/)?)node_modules)/.*$,\1//\2package.json,p;t
s,^(((.*/)?)target)/(\.rustc_info\.json|(debug|release|doc)/.*)$,\1//\2Cargo.toml,p;t
s,^(((.*/)?)target)/(scala-[0-9.]+|streams|task-temp-directory)/.*$,\1//\2build.sbt,p;t
s,^(((.*/)?)target)/((test-)?classes|maven-[a-z]+|(surefire|failsafe)-reports|generated-[a-z-]+)/.*$,\1//\2pom.xml,p;t
s,^(((.*/)?)target)/[^/]+\.[jw]ar$,\1//\2pom.xml,p;t
s,^(((.*/)?)\.?zig-(cache|out))/.*$,\1//\2build.zig,p;t
s,^(((.*/)?)\.build)/.*$,\1//\2Package.swift,p;t
s,^(((.*/)?)_build)/(dev|test|prod)/.*$,\1//\2mix.exs,p;t
s,^(((.*/)?)dist-newstyle)/.*$,\1//\2cabal.project,p;t
s,^(((.*/)?)blib)/.*$,\1//\2Makefile.PL,p;t
s,^(((.*/)?)bower_components)/.*$,\1//\2bower.json,p;t
s,^((.*/)?)cover(age)?\.out$,&//\1go.mod,p;t
s,^((.*/)?[^/$]+)(\$[^/]*)?\.class$,&//\1.java,p;t
s,^(.+)\.(aux|fls|fdb_latexmk|synctex\.gz)$,&//\1.tex,p;t
s,^(.+)\.(hi|dyn_hi|dyn_o)$,&//\1.hs,p;t
s,^(((.*/)?)bin)/(Debug|Release)/.*$,\1//\2obj/project.assets.json,p;t
h
s,^(((.*/)?)build)/(classes|libs|tmp|reports|test-results|generated|intermediates|kotlin)/.*$,\1//\2build.gradle,p
g
s,^(((.*/)?)build)/(classes|libs|tmp|reports|test-results|generated|intermediates|kotlin)/.*$,\1//\2build.gradle.kts,p
g
s,^((.*/)?)dist/[^/]+(\.whl|\.tar\.gz)$,&//\1pyproject.toml,p
g
s,^((.*/)?)dist/[^/]+(\.whl|\.tar\.gz)$,&//\1setup.py,p
g
s,^(((.*/)?)build/lib)/(.+\.py)$,\1//\2\4,p
g
s,^(((.*/)?)build/lib)/(.+\.py)$,\1//\2src/\4,p
g
s,^(((.*/)?)_build)/.*$,\1//\2dune-project,p
g
s,^(((.*/)?)_build)/(default|test|prod)/.*$,\1//\2rebar.config,p
g
s,^((.*/)?)config\.(log|status)$,&//\1configure,p
g
s,^((.*/)?)config\.(log|status)$,&//\1configure.ac,p
g
s,^(.+)\.(cpython|pypy)[^/]*\.so$,&//\1.pyx,p
g
s,^(.+)\.(cpython|pypy)[^/]*\.so$,&//\1.c,p
g
s,^(.+)\.(cpython|pypy)[^/]*\.so$,&//\1.cpp,p
g
s,^(.+)\.l?o$,&//\1.c,p
g
s,^(.+)\.l?o$,&//\1.cpp,p
g
s,^(.+)\.l?o$,&//\1.cc,p
g
s,^(.+)\.l?o$,&//\1.cxx,p
g
s,^(.+)\.o$,&//\1.hs,p
g
s,^bazel-(bin|out|testlogs)$,&//MODULE.bazel,p
g
s,^bazel-(bin|out|testlogs)$,&//WORKSPACE,p
