// Beast's separate compilation: its non-template code stands here once.
#include <boost/beast/src.hpp>
